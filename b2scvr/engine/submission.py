"""A challenge submission: one PNG for each given picture, at its size, and readme.txt, in one zip that is whole or absent."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from b2scvr.bitstream.access_units import split_access_units
from b2scvr.bitstream.demux import ELEMENTARY
from b2scvr.bitstream.video import video_shape
from b2scvr.data.bscv import layout
from b2scvr.data.bscv.pictures import PictureSeries, find_series, list_series
from b2scvr.engine.inputs import INPUT_SUFFIXES
from b2scvr.engine.output import whole_file
from b2scvr.types import InputError
from b2scvr.write.png import NAME

README = "readme.txt"
_SIGNATURE, _END = b"\x89PNG\r\n\x1a\n", b"\x00\x00\x00\x00IEND\xaeB`\x82"  # PNG (ISO/IEC 15948), 5.2 and 11.2.5
_RGB_8 = (8, 2)  # bit depth and colour type of IHDR
_EPOCH = (1980, 1, 1, 0, 0, 0)  # of all members: the same results give the same zip


@dataclass(frozen=True)
class GivenClip:
    """One clip of a test set: its name, the names of its pictures as PNG, and their size in pixels."""

    id: str
    names: tuple[str, ...]
    width: int
    height: int


@dataclass(frozen=True)
class Statement:
    """What readme.txt says."""

    seconds_per_frame: float
    gpu: bool
    extra_data: bool  # whether more than the challenge's training data was used
    description: str = ""

    def text(self) -> str:
        """Return readme.txt in the words that NTIRE's challenges ask for."""
        lines = {
            "runtime per frame [s]": f"{self.seconds_per_frame:.4f}",
            "CPU[1] / GPU[0]": str(int(not self.gpu)),
            "Extra Data [1] / No Extra Data [0]": str(int(self.extra_data)),
            "Other description": self.description,
        }
        return "".join(f"{name} : {value}\n" for name, value in lines.items())


def list_given(folder: Path) -> list[GivenClip]:
    """Return the clips of a test set, by name.

    folder: a branch in BSCV's layout (its BSC_JPEGImages count), a folder with one of pictures for each clip, or with
    damaged streams, where a picture is expected for each access unit. Raises InputError when it holds none of these.
    """
    folders: tuple[str, ...] = layout.PICTURE_FOLDERS
    place = folder
    if folder.is_dir() and not list_series(folder, folders):
        place, folders = folder.resolve().parent, (folder.resolve().name,)
    series = ((clip, find_series(place, folders, clip)) for clip in sorted(list_series(place, folders)))
    found = [_pictures(clip, pictures) for clip, pictures in series if pictures is not None]
    streams = [p for p in sorted(folder.glob("*")) if p.is_file() and p.suffix.lower() in INPUT_SUFFIXES]
    found = found or [_stream(path) for path in streams]
    if not found:
        raise InputError(
            f"{folder}: holds neither folders of pictures ({layout.PICTURES}/<clip>, or <clip>) nor streams"
        )
    return found


def _pictures(clip: str, series: PictureSeries) -> GivenClip:
    first = PictureSeries(series.source, series.names[:1]).pictures()
    names = tuple(PurePosixPath(name).with_suffix(".png").name for name in series.names)
    return GivenClip(clip, names, first.shape[2], first.shape[1])


def _stream(path: Path) -> GivenClip:
    pictures, height, width = video_shape(path)
    if ELEMENTARY.get(path.suffix.lower()) == "h264":
        pictures = len(split_access_units(path.read_bytes())[0])
    return GivenClip(path.stem, tuple(NAME.format(number) for number in range(pictures)), width, height)


def match(given: Sequence[GivenClip], results: Path) -> tuple[dict[str, Path], list[str]]:
    """Return the files of a submission by their names in it, and a sentence for each thing that is wrong.

    results: RESULTS/<clip>/frames, as test.py writes it, or RESULTS/<clip>. Raises InputError when it is no folder.
    """
    if not results.is_dir():
        raise InputError(f"{results}: no such folder of results")
    members: dict[str, Path] = {}
    problems: list[str] = []
    folders = {clip.id: _folder_of(clip.id, results) for clip in given}
    for clip in given:
        folder = folders[clip.id]
        if folder is None:
            problems.append(f"{clip.id}: has no results ({results / clip.id} is not there)")
            continue
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".png")
        if wrong := _wrong_names(clip, files, folder):
            problems.append(wrong)
            continue
        problems += filter(None, (_wrong_picture(clip, path) for path in files))
        members |= {f"{clip.id}/{name}": path for name, path in zip(clip.names, files, strict=True)}
    used = {folder.parent if folder.name == "frames" else folder for folder in folders.values() if folder is not None}
    unknown = [p for p in sorted(results.iterdir()) if p.is_dir() and p not in used and not p.name.startswith(".")]
    return members, [*problems, *(f"{path}: results of a clip that is not in the test set" for path in unknown)]


def _folder_of(clip: str, results: Path) -> Path | None:
    """The folder that holds the pictures of a clip; streams of BSCV, and so their results, end in "_2"."""
    for name in (clip, clip + layout.DAMAGED_SUFFIX):
        for folder in (results / name / "frames", results / name):
            if folder.is_dir():
                return folder
    return None


def _wrong_names(clip: GivenClip, files: list[Path], folder: Path) -> str | None:
    """What is wrong with number and names of the pictures: they are the given ones, or count from 00000 as test.py does."""
    if len(files) != len(clip.names):
        return f"{clip.id}: {len(clip.names)} pictures are given, {folder} holds {len(files)} PNG files"
    names = [path.name for path in files]
    if names != list(clip.names) and names != [NAME.format(number) for number in range(len(names))]:
        missing = next(name for name in clip.names if name not in names)
        return f"{clip.id}: {folder} has no {missing}"
    return None


def _wrong_picture(clip: GivenClip, path: Path) -> str | None:
    """What is wrong with a PNG file; its header and its end are looked at, not its samples."""
    with path.open("rb") as file:
        head = file.read(26)
        file.seek(max(0, path.stat().st_size - len(_END)))
        end = file.read()
    if not head.startswith(_SIGNATURE) or len(head) < 26 or end != _END:
        return f"{path}: is no whole PNG file"
    width, height, depth, colour = struct.unpack(">IIBB", head[16:26])
    if (width, height) != (clip.width, clip.height):
        return f"{path}: is {width}x{height}, the given pictures are {clip.width}x{clip.height}"
    return None if (depth, colour) == _RGB_8 else f"{path}: is not RGB with 8 bits a sample"


def measured_runtime(given: Sequence[GivenClip], results: Path) -> float:
    """Return the seconds a frame that test.py took over all clips, from file to pictures, without loading the models.

    Raises InputError for a clip whose metrics.json is not there or says nothing of it.
    """
    frames, seconds = 0, 0.0
    for clip in given:
        folder = _folder_of(clip.id, results) or results / clip.id
        path = (folder.parent if folder.name == "frames" else folder) / "metrics.json"
        try:
            metrics = json.loads(path.read_text("utf-8"))
            frames += metrics["frames"]
            seconds += metrics["frames"] / metrics["frames_per_second"]
        except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError) as error:
            raise InputError(f"{path}: does not tell the runtime ({error}); state it by --runtime") from error
    return seconds / max(1, frames)


def write_submission(target: Path, members: Mapping[str, Path], statement: Statement) -> None:
    """Write the zip: the members, uncompressed as PNG files are compressed already, and readme.txt.

    Raises OSError when it cannot be written; then nothing is left of it.
    """
    with whole_file(target) as partial, zipfile.ZipFile(partial, "w") as archive:
        for name, content in _contents(members, statement):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)


def _contents(members: Mapping[str, Path], statement: Statement) -> Iterator[tuple[str, bytes]]:
    for name, path in sorted(members.items()):
        yield name, path.read_bytes()
    yield README, statement.text().encode()
