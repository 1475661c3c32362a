"""Training samples addressed by step: what is drawn depends on (seed, step, slot) alone, so a resumed run sees the same.

sampler: step -> batch of Draws (which sample, in which slot)      one permutation an epoch, equal sizes in a batch
dataset: Draw -> tensors (box, mirror image, colours, mask jitter)  in worker processes
collate: stack
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from b2scvr.data import augment
from b2scvr.data.cache import SampleEntry, read_index
from b2scvr.data.sample import Box, TrainingSample, open_record, read_field, read_sample
from b2scvr.ops.batch import pictures_to_tensor, to_tensors
from b2scvr.ops.compute import keep_freed_memory
from b2scvr.ops.masks import at_pixels
from b2scvr.ops.stacking import candidate_weights, combine_candidates
from b2scvr.types import MB_SIZE, InputError

Batch = dict[str, Tensor]
MAKING_SECONDS = "making_seconds"  # entry of a loader's batches: how long making it took, a scalar


@dataclass(frozen=True)
class Draw:
    """One sample of one batch."""

    step: int
    slot: int  # position in the batch of all processes together
    entry: int  # position in the index


@dataclass(frozen=True)
class View:
    """How samples are looked at.

    crop: (height, width) pixels, multiples of 16; band: macroblock rows over the full width; neither: whole pictures.
    mirror, recolour: augmentation. jitter: the recovery mask begins early or late, as a detector's does. oracle_masks: the
    recovery mask is the visible damage, no more and no less (an ablation: what masks are worth).
    stacked: a crop comes with the candidates stacked as all of its picture tells (ops.stacking), as in recovery.
    broken_only: leave dependent pictures out. max_pixels: leave larger pictures out (height times width).
    """

    crop: tuple[int, int] | None = None
    band: int | None = None
    mirror: bool = False
    recolour: bool = False
    jitter: bool = False
    broken_only: bool = True
    max_pixels: int | None = None
    oracle_masks: bool = False
    stacked: bool = False

    def __post_init__(self) -> None:
        if self.crop is not None and self.band is not None:
            raise ValueError(f"a crop {self.crop} and a band {self.band} at once: choose one")
        if self.crop is not None and any(side % MB_SIZE or side <= 0 for side in self.crop):
            raise ValueError(f"crop {self.crop} must be multiples of {MB_SIZE}: evidence is known by macroblock")
        if self.mirror and self.crop is None:
            raise ValueError(
                "mirror images need a crop: the macroblock grid of a whole picture may not fall onto itself"
            )
        if self.jitter and self.oracle_masks:
            raise ValueError("jitter spoils masks, oracle_masks wants true ones: choose one")


class StepDataset(Dataset[Batch], ABC):
    """Samples that are addressed by step: what `StepSampler` and training need of them."""

    seed: int

    @abstractmethod
    def __len__(self) -> int:
        """Return how many samples there are."""

    def __str__(self) -> str:
        return f"{len(self)} samples"

    @abstractmethod
    def __getitem__(self, draw: Draw) -> Batch:
        """Return a sample as tensors; the same draw gives the same ones."""

    @abstractmethod
    def size_key(self, entry: int) -> tuple[int, ...]:
        """Samples of one batch must agree in this."""

    def batches(
        self, size: int, start: int, stop: int, rank: int = 0, world: int = 1, workers: int = 0, pin: bool = False
    ) -> Iterator[Batch]:
        """Yield this process's share of the batches `start` to `stop` - 1, of `size` samples for all processes together."""
        yield from make_loader(StepSampler(self, size, start, stop, rank, world), workers, pin)

    def batch_of_one(self, entry: int) -> Batch:
        """Return one sample as a batch, always the same one: for validation."""
        return collate([self[Draw(step=0, slot=entry, entry=entry)]])


class PairDataset(StepDataset):
    """The pictures of a cache folder as tensors.

    Each item is what `ops.batch.to_tensors` gives, and: target [3, H, W] in [0, 1]; visible [1, H, W], 1 = visibly
    damaged; mask [1, H, W] in [0, 1], what recovery is told is wrong (broken pictures: a macroblock suffix; others: the
    visible damage, widened); wrong, concealed, slice_start, damage_trace [h, w]; broken [] (1 or 0); where the view asks for
    it, stacked [3, H, W].

    Raises InputError for a folder without samples or without one large enough for the view.
    """

    def __init__(self, cache: str | Path, view: View, seed: int = 0) -> None:
        self.cache, self.view, self.seed = Path(cache), view, seed
        found = read_index(self.cache)
        self.entries = [entry for entry in found if self._fits(entry)]
        if not self.entries:
            raise InputError(f"{cache}: none of its {len(found)} samples fits {view}")

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, draw: Draw) -> Batch:
        rng = np.random.default_rng([self.seed, draw.step, draw.slot])
        record = open_record(self.cache / self.entries[draw.entry].file)
        suspect = np.array(record["wrong"] | record["concealed"])
        box = self._box(rng, record)
        sample = read_sample(record, box)
        if self.view.band is not None:
            sample = augment.start_slices(sample)
        blocks = self._blocks(rng, suspect, np.array(record["slice_start"]))
        weights = _stack_weights(record, blocks) if self.view.stacked and box is not None else None
        if box is not None:
            blocks = blocks[box.top : box.top + box.rows, box.left : box.left + box.columns]
        mask = self._mask(rng, sample, blocks)
        if self.view.mirror and rng.random() < 0.5:
            sample, mask = augment.mirror(sample), mask[:, ::-1]
        if self.view.recolour:
            sample = augment.recolour(rng, sample)
        tensors = _tensors(sample, mask)
        if weights is not None:
            tensors["stacked"] = combine_candidates(tensors["candidates"][None], weights)[0]
        return tensors

    def size_key(self, entry: int) -> tuple[int, ...]:
        """Samples of one batch must agree in this."""
        chosen = self.entries[entry]
        if self.view.crop is not None:
            return self.view.crop
        return (chosen.width,) if self.view.band is not None else (chosen.height, chosen.width)

    def _fits(self, entry: SampleEntry) -> bool:
        if entry.pictures > 1 or (self.view.broken_only and not entry.broken):
            return False
        if self.view.max_pixels is not None and entry.height * entry.width > self.view.max_pixels:
            return False
        rows, columns = entry.height // MB_SIZE, entry.width // MB_SIZE
        if self.view.crop is not None:
            return self.view.crop[0] <= rows * MB_SIZE and self.view.crop[1] <= columns * MB_SIZE
        return self.view.band is None or self.view.band <= rows

    def _box(self, rng: np.random.Generator, record: np.void) -> Box | None:
        height, width = record["mask"].shape
        if self.view.crop is not None:
            return augment.draw_box(rng, record["wrong"], (height, width), self.view.crop)
        if self.view.band is not None:
            return augment.draw_band(rng, record["wrong"], (height, width), self.view.band)
        return None

    def _blocks(self, rng: np.random.Generator, suspect: np.ndarray, slice_start: np.ndarray) -> np.ndarray:
        """The macroblocks that recovery is told are wrong, float32 [h, w] of the whole picture.

        Concealed macroblocks count as wrong even where concealment happens to be right: the detector knows they are invented.
        """
        if self.view.jitter:
            return augment.draw_suffix(rng, suspect, slice_start)
        return augment.damage_suffix(suspect, slice_start)

    def _mask(self, rng: np.random.Generator, sample: TrainingSample, blocks: np.ndarray) -> np.ndarray:
        if self.view.oracle_masks:
            return sample.mask.astype(np.float32)
        if not sample.surroundings.broken:
            return augment.draw_dilation(rng, sample.mask) if self.view.jitter else sample.mask.astype(np.float32)
        height, width = sample.mask.shape
        return at_pixels(blocks, height, width)


class StepSampler(Sampler[list[Draw]]):
    """Batches of steps `start` to `stop` - 1, the same ones wherever one begins.

    Each epoch goes once through a permutation of the samples, batched by size; batches that a size can't fill are
    filled with further samples of that size. rank, world: this process's share of each batch, which must divide
    (ValueError).
    """

    def __init__(
        self,
        dataset: StepDataset,
        batch: int,
        start: int,
        stop: int,
        rank: int = 0,
        world: int = 1,
        shuffle: bool = True,
    ) -> None:
        if batch < 1 or batch % world:
            raise ValueError(f"a batch of {batch} does not divide among {world} processes")
        self.dataset, self.batch, self.start, self.stop, self.shuffle = dataset, batch, start, stop, shuffle
        share = batch // world
        self.share = slice(rank * share, (rank + 1) * share)
        self.groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for entry in range(len(dataset)):
            self.groups[dataset.size_key(entry)].append(entry)
        self.epoch_steps = sum(-(-len(group) // batch) for group in self.groups.values())

    def __len__(self) -> int:
        return max(0, self.stop - self.start)

    def __iter__(self) -> Iterator[list[Draw]]:
        epoch, batches = -1, list[list[int]]()
        for step in range(self.start, self.stop):
            if step // self.epoch_steps != epoch:
                epoch = step // self.epoch_steps
                batches = self._epoch(epoch)
            entries = batches[step % self.epoch_steps]
            yield [Draw(step, slot, entries[slot]) for slot in range(self.batch)][self.share]

    def _epoch(self, epoch: int) -> list[list[int]]:
        rng = np.random.default_rng([self.dataset.seed, epoch])
        batches = []
        for group in self.groups.values():
            order = rng.permutation(group) if self.shuffle else np.array(group)
            filled = np.resize(order, -(-len(group) // self.batch) * self.batch)
            batches += filled.reshape(-1, self.batch).tolist()
        return [batches[i] for i in rng.permutation(len(batches))] if self.shuffle else batches


def make_loader(sampler: StepSampler, workers: int, pin: bool = False) -> DataLoader[Batch]:
    """Return the loader of the sampler's steps; `workers` processes (0 = in this one), pinned memory for a GPU.

    Its batches have an entry more, MAKING_SECONDS.
    """
    return DataLoader(
        _Timed(sampler.dataset),
        batch_sampler=sampler,  # type: ignore[arg-type]
        num_workers=workers,
        collate_fn=_as_it_is,  # type: ignore[arg-type]
        pin_memory=pin,
        # A generator of its own: the loader must not take numbers from the one that the network draws from.
        generator=torch.Generator(),
        worker_init_fn=_start_worker if workers else None,
        prefetch_factor=4 if workers else None,
    )


def collate(items: list[Batch]) -> Batch:
    """Stack tensors of the same name along a new first axis."""
    return {name: torch.stack([item[name] for item in items]) for name in items[0]}


def whole(view: View) -> View:
    """Return `view` for validation: whole pictures, nothing drawn."""
    return replace(view, crop=None, band=None, mirror=False, recolour=False, jitter=False)


def _stack_weights(record: np.void, blocks: np.ndarray) -> Tensor:
    """Return `candidate_weights` [1, K + 1] of the whole picture; blocks: [h, w], which are told to be wrong if it is broken."""
    wrong = at_pixels(blocks, *record["mask"].shape) if record["broken"] else record["mask"]
    mask = torch.from_numpy(wrong.astype(np.float32))
    valid = torch.from_numpy(read_field(record, "candidate_valid"))
    return candidate_weights(pictures_to_tensor(record["candidates"])[None], valid[None], mask[None, None])


def _tensors(sample: TrainingSample, mask: np.ndarray) -> Batch:
    around = sample.surroundings
    extra = {
        "visible": sample.mask[None],
        "mask": mask[None],
        "wrong": sample.wrong,
        "concealed": around.concealed,
        "slice_start": around.slice_start,
        "damage_trace": around.damage_trace,
        "broken": np.array(around.broken),
    }
    tensors = {name: torch.from_numpy(np.array(value, np.float32)) for name, value in extra.items()}
    return to_tensors(around) | tensors | {"target": pictures_to_tensor(sample.target)}


class _Timed(Dataset[Batch]):
    """Makes a batch at a time and says how long it took."""

    def __init__(self, data: StepDataset) -> None:
        self.data = data

    def __getitems__(self, draws: list[Draw]) -> Batch:
        started = time.perf_counter()
        batch = collate([self.data[draw] for draw in draws])
        return batch | {MAKING_SECONDS: torch.tensor(time.perf_counter() - started)}


def _as_it_is(batch: Batch) -> Batch:
    return batch


def _start_worker(worker: int) -> None:
    keep_freed_memory()
    torch.set_num_threads(1)
