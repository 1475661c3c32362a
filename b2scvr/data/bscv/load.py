"""A branch of BSCV, as published or built, clip by clip: clean and damaged pictures, masks, and the parsed bitstream.

Published pictures were decoded with the ffmpeg command line, which drops pictures of a damaged stream: where numbers of
clean pictures, damaged pictures and masks do not belong together, they are put right, and `BscvClip.repairs` says how.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from b2scvr.bitstream.access_units import split_access_units
from b2scvr.bitstream.cache import load_clip
from b2scvr.bitstream.reader import read, read_coded
from b2scvr.data.bscv import layout
from b2scvr.data.bscv.align import align, slots
from b2scvr.data.bscv.align_units import align_clips, slots_by_index
from b2scvr.data.bscv.pictures import PictureSeries, find_series, list_series
from b2scvr.data.bscv.sources import file_sha256
from b2scvr.ops.masks import damage_mask
from b2scvr.types import InputError, ParsedClip


@dataclass(frozen=True)
class ClipFiles:
    """What there is of one clip in a branch."""

    id: str
    clean: PictureSeries | None
    damaged: PictureSeries | None
    masks: PictureSeries | None
    clean_stream: Path | None
    damaged_stream: Path | None
    parse: Path | None


@dataclass
class BscvClip:
    """One clip of a branch. T pictures in display order; all arrays belong together picture by picture."""

    id: str
    clean: np.ndarray  # uint8 [T, H, W, 3] RGB
    damaged: np.ndarray  # uint8 [T, H, W, 3] RGB
    masks: np.ndarray  # uint8 [T, H, W], 1 = visibly damaged
    missing: np.ndarray  # bool [T], no damaged picture there: its neighbour stands in
    files: ClipFiles
    repairs: tuple[str, ...] = ()  # what had to be put right, a sentence each
    redecoded: ParsedClip | None = field(default=None, repr=False)  # where repair has parsed the damaged stream anyway

    def __len__(self) -> int:
        return len(self.clean)

    def parsed(self) -> ParsedClip:
        """Return the damaged stream parsed: the cached parse with `damaged` as its pictures, or the stream parsed now.

        The cache has no pictures of its own: where BSC_JPEGImages are JPEG, so are the pictures of the parse (its `notes`
        say so); `bitstream.reader.read(files.damaged_stream)` gives the decoder's own. Raises InputError when there is
        neither cache nor stream.
        """
        if self.redecoded is not None:
            return self.redecoded
        stream, cached = self.files.damaged_stream, self.files.parse
        if cached and not self.missing.any():
            clip = load_clip(cached, None if stream is None else file_sha256(stream), frames=self.damaged)
            lossy = self.files.damaged is not None and not self.files.damaged.names[0].lower().endswith(".png")
            clip.notes += ("pictures: from JPEG files, not the decoder's own",) if lossy else ()
            return clip
        if stream is None:
            raise InputError(f"{self.id}: has no damaged stream ({layout.STREAMS}/{self.id}_2.h264) to parse")
        return read(stream)


class BscvBranch:
    """The clips of one branch's folder, by id or by number: `branch["003234408d"]`, `branch[0]`, `for clip in branch`.

    Folders and zips by any of the published names; the clean pictures in the branch itself or in the branch 144096 beside
    it. Raises InputError when the folder holds no clip.
    """

    def __init__(self, folder: str | Path, check_content: bool = True) -> None:
        """check_content: where numbers agree, look whether the pictures do too."""
        self.folder, self.check_content = Path(folder), check_content
        self.ids = sorted(self._find_ids())
        if not self.ids:
            raise InputError(
                f"{folder}: holds no clip in {layout.PICTURES} or {layout.STREAMS}; give a branch's folder"
            )

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, clip: str | int) -> BscvClip:
        """Return a clip. Raises InputError when something of it is absent or cannot be read, IndexError for a number
        that is none."""
        files = clip_files(self.folder, self.ids[clip] if isinstance(clip, int) else clip)
        return _Loader(files, self.check_content).load()

    def _find_ids(self) -> set[str]:
        streams = (self.folder / layout.STREAMS).glob(f"[!.]*{layout.DAMAGED_SUFFIX}.h264")
        named = {path.name.removesuffix(f"{layout.DAMAGED_SUFFIX}.h264") for path in streams}
        return named | list_series(self.folder, layout.PICTURE_FOLDERS)


def clip_files(folder: Path, clip: str) -> ClipFiles:
    """Return what there is of the clip called `clip` in the branch's `folder`. Raises InputError for a broken zip."""
    truth_folders = [folder, folder.parent / layout.TRUTH_BRANCH]
    series = (find_series(place, layout.TRUTH_PICTURE_FOLDERS, clip) for place in truth_folders)
    return ClipFiles(
        id=clip,
        clean=next((found for found in series if found), None),
        damaged=find_series(folder, layout.PICTURE_FOLDERS, clip),
        masks=find_series(folder, layout.MASK_FOLDERS, clip),
        clean_stream=_existing(*(place / layout.TRUTH_STREAMS / f"{clip}.h264" for place in truth_folders)),
        damaged_stream=_existing(folder / layout.STREAMS / f"{clip}{layout.DAMAGED_SUFFIX}.h264"),
        parse=_existing(folder / layout.PARSES / f"{clip}.npz"),
    )


class _Loader:
    """Loads one clip and puts right what does not belong together."""

    def __init__(self, files: ClipFiles, check_content: bool) -> None:
        self.files, self.check_content = files, check_content
        self.repairs: list[str] = []
        self.redecoded: ParsedClip | None = None

    def load(self) -> BscvClip:
        clean = self._clean()
        damaged, missing, moved = self._damaged(clean)
        if damaged.shape != clean.shape:
            sizes = " and ".join(f"{p.shape[2]}x{p.shape[1]}" for p in (clean, damaged))
            raise InputError(f"{self.files.id}: clean and damaged pictures are of different sizes ({sizes})")
        masks = self._masks(clean, damaged, moved)
        return BscvClip(
            self.files.id, clean, damaged, masks, missing, self.files, tuple(self.repairs), self.redecoded
        )  # fmt: skip

    def _clean(self) -> np.ndarray:
        series, stream = self.files.clean, self.files.clean_stream
        coded = _access_units(stream)
        if series is not None and not series.has_gaps and coded in (None, len(series)):
            return series.pictures()
        if stream is None:
            reason = "pictures are missing from their numbers" if series else "there are none"
            raise InputError(f"{self.files.id}: no clean pictures to rely on ({reason}) and no clean stream to decode")
        if series is not None:
            self._say(f"{len(series)} clean pictures for {coded} in the clean stream: decoded again from {stream.name}")
        return read(stream).frames

    def _damaged(self, clean: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
        """Return the damaged pictures in their places, where one only stands in, and whether any was moved."""
        series, stream = self.files.damaged, self.files.damaged_stream
        nothing_missing = np.zeros(len(clean), bool)
        if series is None and stream is None:
            raise InputError(f"{self.files.id}: there are neither damaged pictures nor a damaged stream")
        pictures = series.pictures() if series else np.empty((0, *clean.shape[1:]), np.uint8)
        wrong = self._what_is_wrong(series, pictures, clean) if series else ""
        if series and not wrong:
            return pictures, nothing_missing, False
        if stream is not None:
            return self._from_stream(stream, clean, f"{wrong}: " if wrong else "")
        if series and series.has_gaps and series.numbers[-1] < len(clean):
            chosen, missing = slots_by_index(np.array(series.numbers), len(clean))
            self._say(f"{wrong}: the others stay at their numbers, {_stand_ins(missing)}")
        else:
            chosen, missing = slots(align(pictures, clean), pictures, clean)
            self._say(f"{wrong}: aligned with the clean pictures by their content, {_stand_ins(missing)}")
        return pictures[chosen], missing, True

    def _from_stream(self, stream: Path, clean: np.ndarray, why: str) -> tuple[np.ndarray, np.ndarray, bool]:
        """Return as `_damaged` what the damaged stream decodes to."""
        coded = read_coded(stream)
        pictures = coded.clip.frames
        decoded = f"{why}decoded from {stream.name}, {len(pictures)} pictures, one for each access unit"
        if len(pictures) == len(clean):
            self.redecoded = coded.clip
            self._say(decoded)
            return pictures, np.zeros(len(clean), bool), True
        indices = None
        if self.files.clean_stream is not None:
            truth = read_coded(self.files.clean_stream)
            indices = align_clips(coded, truth) if len(truth.clip) == len(clean) else None
        if indices is not None:
            chosen, missing = slots_by_index(indices, len(clean))
            self._say(f"{decoded}; aligned by the bytes of the clean stream, {_stand_ins(missing)}")
        else:
            chosen, missing = slots(align(pictures, clean), pictures, clean)
            self._say(f"{decoded}; aligned with the clean pictures by their content, {_stand_ins(missing)}")
        return pictures[chosen], missing, True

    def _what_is_wrong(self, series: PictureSeries, pictures: np.ndarray, clean: np.ndarray) -> str:
        """Return what does not agree about the damaged pictures, in words; "" when all does."""
        if series.has_gaps:
            return f"{len(series)} damaged pictures with numbers up to {series.numbers[-1]}"
        if len(series) != len(clean):
            return f"{len(series)} damaged pictures for {len(clean)} clean ones"
        if self.check_content and pictures.shape == clean.shape:
            moved = np.flatnonzero(align(pictures, clean) != np.arange(len(clean)))
            if len(moved):
                return f"damaged pictures from number {moved[0]} on show other moments than the clean ones"
        return ""

    def _masks(self, clean: np.ndarray, damaged: np.ndarray, moved: bool) -> np.ndarray:
        series = self.files.masks
        if series is not None and not moved and not series.has_gaps and len(series) == len(clean):
            masks = series.masks()
            if masks.shape == clean.shape[:3]:
                return masks
            found, wanted = (f"{shape[2]}x{shape[1]}" for shape in (masks.shape, clean.shape))
            raise InputError(f"{self.files.id}: its masks are {found}, its pictures {wanted}")
        if series is None:
            self._say("no masks there: derived from the difference of the pictures")
        else:
            reason = "with the pictures" if moved else f"{len(series)} for {len(clean)} pictures"
            self._say(f"masks derived again ({reason})")
        return np.stack([damage_mask(a, b) for a, b in zip(damaged, clean, strict=True)])

    def _say(self, what: str) -> None:
        self.repairs.append(f"{self.files.id}: {what}")


def _access_units(stream: Path | None) -> int | None:
    return None if stream is None else len(split_access_units(stream.read_bytes())[0])


def _stand_ins(missing: np.ndarray) -> str:
    indices = np.flatnonzero(missing)
    if not len(indices):
        return "none is missing"
    listed = ", ".join(map(str, indices[:5])) + (" and more" if len(indices) > 5 else "")
    return f"the picture before stands in at {len(indices)} of {len(missing)} places ({listed})"


def _existing(*paths: Path) -> Path | None:
    return next((path for path in paths if path.is_file()), None)
