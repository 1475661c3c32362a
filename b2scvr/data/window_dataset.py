"""Windows of pictures drawn from whole damaged clips, and both kinds of samples in one training run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from b2scvr.data import augment
from b2scvr.data.cache import SampleEntry, read_index
from b2scvr.data.dataset import Batch, Draw, PairDataset, StepDataset, View
from b2scvr.data.sample import open_record
from b2scvr.ops.batch import pictures_to_tensor
from b2scvr.types import MB_SIZE, MV_BLOCK, InputError

DAMAGED_WINDOW_SHARE = 0.9  # of the windows are drawn around a damaged picture
PICTURES, WINDOWS = "pictures", "windows"  # kinds of samples
KINDS = (PICTURES, WINDOWS)


@dataclass(frozen=True)
class WindowShape:
    """How many pictures a window has: local ones, consecutive, and references from the rest of the clip."""

    local: int = 5
    references: int = 3

    def __post_init__(self) -> None:
        if self.local < 1 or self.references < 0:
            raise ValueError(
                f"a window has a local picture at least, got {self.local} and {self.references} references"
            )


class WindowDataset(StepDataset):
    """Windows of the clips in a cache folder (tools/make_pairs.py --clips) as tensors.

    Each item: pictures [T, 3, H, W] in [0, 1], as decoded, the local ones first, then the references in display order;
    target: the same, true; mask [T, 1, H, W], 1 = wrong: the visible damage, with jitter widened by a drawn amount;
    vectors [2, L - 1, 3, r, c], see fill.codec_flow. View: as for `PairDataset`, but for bands, which windows have not.

    Raises InputError for a folder without clips or without one that is large and long enough.
    """

    def __init__(self, cache: str | Path, view: View, shape: WindowShape | None = None, seed: int = 0) -> None:
        if view.band is not None:
            raise ValueError("windows are not looked at in bands: give a crop, or neither")
        self.cache, self.view, self.shape, self.seed = Path(cache), view, shape or WindowShape(), seed
        clips = [entry for entry in read_index(self.cache) if entry.pictures > 1]
        if not clips:
            raise InputError(
                f"{cache}: holds no clips to draw windows from; make them with tools/make_pairs.py --clips"
            )
        self.entries = [entry for entry in clips if self._fits(entry)]
        if not self.entries:
            raise InputError(f"{cache}: none of its {len(clips)} clips fits {self.shape} and {view}")

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, draw: Draw) -> Batch:
        rng = np.random.default_rng([self.seed, draw.step, draw.slot])
        record = open_record(self.cache / self.entries[draw.entry].file, holds="clean")
        slots = self._slots(rng, record)
        rows, columns = self._box(rng, record, slots)
        pictures, target = (record[name][slots, rows, columns] for name in ("damaged", "clean"))
        mask = record["visible"][slots, rows, columns]
        vectors = self._vectors(record, slots[0], rows, columns)
        if self.view.jitter:
            mask = np.stack([augment.draw_dilation(rng, picture) for picture in mask])
        if self.view.mirror and rng.random() < 0.5:
            pictures, target, mask, vectors = (
                pictures[:, :, ::-1],
                target[:, :, ::-1],
                mask[..., ::-1],
                vectors[..., ::-1],
            )
            vectors = vectors * np.array([-1, 1, 1], np.float32)[:, None, None]
        if self.view.recolour:
            changed = augment.recolouring(rng)
            pictures, target = changed(pictures), changed(target)
        return {
            "pictures": pictures_to_tensor(pictures),
            "target": pictures_to_tensor(target),
            "mask": torch.from_numpy(np.array(mask[:, None], np.float32)),
            "vectors": torch.from_numpy(np.array(vectors, np.float32)),
        }

    def size_key(self, entry: int) -> tuple[int, ...]:
        """Samples of one batch must agree in this."""
        chosen = self.entries[entry]
        return self.view.crop or (chosen.height, chosen.width)

    def _fits(self, entry: SampleEntry) -> bool:
        if entry.pictures < self.shape.local + bool(self.shape.references):
            return False
        if self.view.max_pixels is not None and entry.height * entry.width > self.view.max_pixels:
            return False
        whole = entry.height // MB_SIZE * MB_SIZE, entry.width // MB_SIZE * MB_SIZE
        return self.view.crop is None or (self.view.crop[0] <= whole[0] and self.view.crop[1] <= whole[1])

    def _slots(self, rng: np.random.Generator, record: np.void) -> np.ndarray:
        """Return the pictures of a window: local ones that follow one another, references from the others, ascending."""
        visible, local = record["visible"], self.shape.local
        last = len(visible) - local
        first = int(rng.integers(0, last + 1))
        damaged = np.flatnonzero([picture.any() for picture in visible])
        if damaged.size and rng.random() < DAMAGED_WINDOW_SHARE:
            chosen = int(rng.choice(damaged))
            first = int(rng.integers(max(chosen - local + 1, 0), min(chosen, last) + 1))
        others = np.setdiff1d(np.arange(len(visible)), np.arange(first, first + local))
        references = rng.choice(others, self.shape.references, replace=len(others) < self.shape.references)
        return np.concatenate((np.arange(first, first + local), np.sort(references)))

    def _box(self, rng: np.random.Generator, record: np.void, slots: np.ndarray) -> tuple[slice, slice]:
        """Return rows and columns of the part that is looked at, in pixels, on the grid of macroblocks."""
        height, width = record["visible"].shape[1:]
        if self.view.crop is None:
            return slice(0, height), slice(0, width)
        damaged = record["visible"][slots[: self.shape.local]].any(axis=0)
        padded = np.pad(damaged, ((0, -height % MB_SIZE), (0, -width % MB_SIZE)))
        blocks = padded.reshape(padded.shape[0] // MB_SIZE, MB_SIZE, padded.shape[1] // MB_SIZE, MB_SIZE)
        grid = np.asarray(blocks.any(axis=(1, 3)))
        box = augment.draw_box(rng, grid, (height, width), self.view.crop)
        top, left = box.top * MB_SIZE, box.left * MB_SIZE
        return slice(top, top + box.rows * MB_SIZE), slice(left, left + box.columns * MB_SIZE)

    def _vectors(self, record: np.void, first: int, rows: slice, columns: slice) -> np.ndarray:
        """Return the vectors between the local pictures inside the box, float32 [2, L - 1, 3, r, c]."""
        down, across = (slice(side.start // MV_BLOCK, -(-side.stop // MV_BLOCK)) for side in (rows, columns))
        pairs = slice(first, first + self.shape.local - 1)
        return np.asarray(record["vectors"][:, pairs, :, down, across], np.float32)


def make_dataset(
    cache: str | Path, view: View, kinds: tuple[str, ...] = (PICTURES,), shape: WindowShape | None = None, seed: int = 0
) -> StepDataset:
    """Return the samples of a cache folder: "pictures" with their surroundings, "windows" of clips (`shape`), or both.

    Raises InputError when a kind is not there.
    """
    sets: list[StepDataset] = []
    if PICTURES in kinds:
        sets.append(PairDataset(cache, view, seed))
    if WINDOWS in kinds:
        sets.append(WindowDataset(cache, view, shape, seed))
    return sets[0] if len(sets) == 1 else MixedDataset(sets)


class MixedDataset(StepDataset):
    """Several sets in one: each batch is of one of them, an epoch goes through all."""

    def __init__(self, sets: list[StepDataset]) -> None:
        if not sets:
            raise ValueError("no samples to mix")
        self.sets, self.seed = sets, sets[0].seed

    def __len__(self) -> int:
        return sum(len(part) for part in self.sets)

    def __getitem__(self, draw: Draw) -> Batch:
        number, entry = self._place(draw.entry)
        return self.sets[number][Draw(draw.step, draw.slot, entry)]

    def size_key(self, entry: int) -> tuple[int, ...]:
        """Samples of one batch must agree in this; which set they are of is its first number."""
        number, inside = self._place(entry)
        return (number, *self.sets[number].size_key(inside))

    def _place(self, entry: int) -> tuple[int, int]:
        """Return the set that holds `entry`, and its number there."""
        for number, part in enumerate(self.sets):
            if entry < len(part):
                return number, entry
            entry -= len(part)
        raise IndexError(f"no sample {entry + len(self)} among {len(self)}")
