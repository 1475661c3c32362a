"""What a run is asked to do: inputs and folders of them, and the clean clip or the masks that belong to each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from b2scvr.bitstream.assembly import CodedClip
from b2scvr.bitstream.demux import ELEMENTARY
from b2scvr.bitstream.reader import read_coded
from b2scvr.data.bscv.align_units import align_clips
from b2scvr.data.bscv.layout import DAMAGED_SUFFIX
from b2scvr.types import AccessUnitStatus, InputError, ParsedClip
from b2scvr.write.png import SUFFIXES as PICTURE_SUFFIXES
from b2scvr.write.png import read_mask, read_masks, read_pictures

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


def load_truth(path: Path, coded: CodedClip) -> np.ndarray:
    """Return the clean pictures of a stream or of a folder, uint8 [T, H, W, 3].

    Of a stream that holds more access units, as when packets of its copy were lost, those that `coded` still has. Raises
    InputError when they cannot be read or are not as many, or not of the size, as the pictures of `coded`.
    """
    if path.is_dir():
        return _matching(path, read_pictures(path), coded.clip)
    truth = read_coded(path)
    pictures = truth.clip.frames
    if len(truth.clip) > len(coded.clip) and (places := align_clips(coded, truth)) is not None:
        pictures = pictures[places]
    return _matching(path, pictures, coded.clip)


def load_masks(path: Path, clip: ParsedClip) -> np.ndarray:
    """Return the masks of a folder, uint8 [T, H, W], 1 = corrupted.

    Raises InputError as `load_truth` does, and when they mark nothing although pictures of `clip` are damaged.
    """
    masks = _matching(path, read_masks(path), clip)
    damaged = int((clip.status != AccessUnitStatus.INTACT).sum())
    if damaged and not masks.any():
        raise InputError(
            f"{path}: its {len(masks)} masks mark nothing, the input has {damaged} damaged pictures; leave --masks out"
        )
    return masks


def load_first_mask(path: Path, clip: ParsedClip) -> tuple[int, np.ndarray]:
    """Return display index and mask, uint8 [H, W], of the first damaged picture.

    path: a picture whose name is its number, like 00009.png, or a folder of them, of which the first that is not empty is
    taken. Raises InputError when there is none, or it is not of a picture of `clip`.
    """
    files = [path] if path.is_file() else [p for p in sorted(path.iterdir()) if p.suffix.lower() in PICTURE_SUFFIXES]
    for file in files:
        if not file.stem.isdigit() or int(file.stem) >= len(clip):
            raise InputError(f"{file}: the name must be the number of one of {len(clip)} pictures, like 00009.png")
        mask = read_mask(file)
        if mask.shape != clip.frames.shape[1:3]:
            raise InputError(
                f"{file}: is {mask.shape[1]}x{mask.shape[0]}, the input {clip.frames.shape[2]}x{clip.frames.shape[1]}"
            )
        if mask.any():
            return int(file.stem), mask
    raise InputError(f"{path}: holds no mask that marks anything")


def _matching(path: Path, pictures: np.ndarray, clip: ParsedClip) -> np.ndarray:
    if pictures.shape[:3] != clip.frames.shape[:3]:
        found, wanted = (f"{t} pictures of {w}x{h}" for t, h, w in (pictures.shape[:3], clip.frames.shape[:3]))
        raise InputError(f"{path}: holds {found}, the input has {wanted}")
    return pictures
