"""What a run is asked to do: inputs and folders of them, and the clean clip or the masks that belong to each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from b2scvr.bitstream.demux import ELEMENTARY
from b2scvr.bitstream.part import Part
from b2scvr.bitstream.parts import PERIOD_PIXELS, CodedFile
from b2scvr.data.bscv.align_units import align_units
from b2scvr.data.bscv.layout import DAMAGED_SUFFIX
from b2scvr.types import FirstMask, InputError
from b2scvr.write.png import SUFFIXES as PICTURE_SUFFIXES
from b2scvr.write.png import list_pictures, read_mask, read_masks, read_pictures

CONTAINERS = frozenset(
    {".mp4", ".mov", ".m4v", ".mkv", ".webm", ".ts", ".mts", ".m2ts", ".avi", ".flv", ".f4v", ".3gp", ".mpg", ".mpeg"}
    | {".vob", ".ivf", ".obu", ".asf", ".wmv", ".ogv", ".mxf"}
)
INPUT_SUFFIXES = CONTAINERS | set(ELEMENTARY)


class UsageError(Exception):
    """The run was asked for something that makes no sense; the message says what. Exit code 2."""


@dataclass(frozen=True)
class Job:
    """One input and the folder that its results go to."""

    source: Path
    target: Path

    @property
    def name(self) -> str:
        return self.target.name


def list_jobs(inputs: list[Path], output: Path) -> tuple[list[Job], list[str]]:
    """Return the jobs of `inputs` (files and folders of them) and one line for each folder that holds none.

    A folder stands for the videos directly in it, by name. A file is taken whatever its suffix. Raises UsageError when
    two inputs would write to the same folder.
    """
    sources: list[Path] = []
    problems: list[str] = []
    for given in inputs:
        if not given.is_dir():
            sources.append(given)
            continue
        found = sorted(p for p in given.iterdir() if p.is_file() and p.suffix.lower() in INPUT_SUFFIXES)
        if not found:
            problems.append(f"{given}: holds no video ({' '.join(sorted(INPUT_SUFFIXES))})")
        sources.extend(found)
    jobs: dict[str, Job] = {}
    for source in sources:
        name = source.stem or source.name
        earlier = jobs.setdefault(name, Job(source, output / name))
        if earlier.source.resolve() != source.resolve():
            raise UsageError(f"{earlier.source} and {source} would both write to {output / name}: run them apart")
    return list(jobs.values()), problems


def belonging_to(job: Job, given: Path, alone: bool) -> Path:
    """Return what of `given` (a stream, or a folder of pictures) belongs to `job`.

    For the only input of a run that is `given` itself; of several inputs each has its own entry in the folder `given`,
    a folder of pictures or a video of the input's name, or of that without BSCV's ending of damaged streams. Raises
    InputError when there is none.
    """
    if not given.exists():
        raise InputError(f"{given}: no such file or folder")
    if given.is_file():
        if not alone:
            raise InputError(
                f"{given}: one clip can't be the truth of several inputs; give a folder with one entry for each"
            )
        return given
    if alone and any(p.suffix.lower() in PICTURE_SUFFIXES for p in given.iterdir()):
        return given
    places = [p for p in sorted(given.iterdir()) if p.is_dir() or p.suffix.lower() in INPUT_SUFFIXES]
    for name in (job.name, job.name.removesuffix(DAMAGED_SUFFIX)):
        if entries := [p for p in places if name in (p.name, p.stem)]:
            return entries[0]
    raise InputError(f"{given}: holds neither pictures nor an entry {job.name!r}")


class Truth(Protocol):
    """The clean pictures that belong to a damaged file."""

    def of(self, part: Part) -> np.ndarray:
        """Return the clean pictures of the own ones of a part, uint8 [N, H, W, 3]. Parts are asked for in their order.

        Raises InputError when they cannot be read or are of another size.
        """
        ...


def open_truth(path: Path, damaged: CodedFile) -> Truth:
    """Return the clean pictures of a stream or of a folder.

    Of a stream that holds more access units, as when packets of its copy were lost, those that `damaged` still has. Raises
    InputError when they cannot be read or are not as many as the pictures of `damaged`.
    """
    return _PictureFiles(path, damaged) if path.is_dir() else _CleanStream(path, damaged)


class _PictureFiles:
    """Clean pictures in a folder."""

    def __init__(self, path: Path, damaged: CodedFile) -> None:
        self._path, self._files = path, list_pictures(path)
        _require_count(path, len(self._files), damaged)

    def of(self, part: Part) -> np.ndarray:
        """Return the clean pictures of a part, see Truth."""
        return _fitting(self._path, read_pictures([self._files[number] for number in part.numbers]), part)


class _CleanStream:
    """Clean pictures of a stream, decoded as they are asked for."""

    def __init__(self, path: Path, damaged: CodedFile) -> None:
        clean = CodedFile(path)
        more = len(clean) > len(damaged)
        self._left = align_units(damaged.units, clean.units) if more else None  # clean unit of each damaged one
        _require_count(path, len(clean) if self._left is None else len(self._left), damaged)
        self._path, self._coming = path, clean.parts(period_pixels=PERIOD_PIXELS)
        self._held: dict[int, np.ndarray] = {}  # decoded pictures, by number in the clean stream

    def of(self, part: Part) -> np.ndarray:
        """Return the clean pictures of a part, see Truth."""
        numbers = part.numbers if self._left is None else self._left[part.units]
        self._held = {number: picture for number, picture in self._held.items() if number >= numbers.min()}
        while not self._held.keys() >= set(numbers.tolist()):
            clean = next(self._coming)
            known = clean.numbers if self._left is None else clean.units
            self._held |= zip(known.tolist(), clean.take(clean.coded.clip.frames), strict=True)
        return _fitting(self._path, np.stack([self._held[number] for number in numbers.tolist()]), part)


class GivenMasks:
    """The masks of a folder that belong to a damaged file.

    Raises InputError when they cannot be read or are not as many as its pictures.
    """

    def __init__(self, path: Path, damaged: CodedFile) -> None:
        self.path, self._files = path, list_pictures(path)
        self._marks = False
        _require_count(path, len(self._files), damaged)

    def of(self, part: Part) -> np.ndarray:
        """Return the masks of all pictures that a part was read with, uint8 [T, H, W], 1 = corrupted.

        Raises InputError when they cannot be read or are of another size.
        """
        files = self._files[part.start :][: len(part.coded.clip)]
        masks = _fitting(self.path, read_masks(files), part)
        self._marks |= bool(masks.any())
        return masks

    def require_marks(self, damaged: int) -> None:
        """Raise InputError when nothing was marked in all parts although `damaged` pictures are damaged."""
        if damaged and not self._marks:
            raise InputError(
                f"{self.path}: its {len(self._files)} masks mark nothing, the input has {damaged} damaged pictures; "
                "leave --masks out"
            )


@dataclass(frozen=True)
class GivenFirstMask:
    """The mask of the first damaged picture, and the file that it was read from."""

    path: Path
    first_mask: FirstMask

    def fitting(self, part: Part) -> Part:
        """Return a part of the input if its pictures are as large as the mask; InputError otherwise."""
        _fitting(self.path, self.first_mask[1][None], part)
        return part


def load_first_mask(path: Path, count: int) -> GivenFirstMask:
    """Return the mask of the first damaged picture.

    path: a picture whose name is its number, like 00009.png, or a folder of them, of which the first that is not empty is
    taken. Raises InputError when there is none, or it is not of one of `count` pictures.
    """
    files = [path] if path.is_file() else [p for p in sorted(path.iterdir()) if p.suffix.lower() in PICTURE_SUFFIXES]
    for file in files:
        if not file.stem.isdigit() or int(file.stem) >= count:
            raise InputError(f"{file}: the name must be the number of one of {count} pictures, like 00009.png")
        mask = read_mask(file)
        if mask.any():
            return GivenFirstMask(file, (int(file.stem), mask))
    raise InputError(f"{path}: holds no mask that marks anything")


def _require_count(path: Path, count: int, damaged: CodedFile) -> None:
    if count != len(damaged):
        raise InputError(f"{path}: holds {count} pictures, the input has {len(damaged)}")


def _fitting(path: Path, pictures: np.ndarray, part: Part) -> np.ndarray:
    """Return the pictures if they are as large as those of a part; InputError otherwise."""
    size, wanted = pictures.shape[1:3], part.coded.clip.frames.shape[1:3]
    if size != wanted:
        raise InputError(f"{path}: is of {size[1]}x{size[0]} pixels, the input of {wanted[1]}x{wanted[0]}")
    return pictures
