"""Numbered pictures of a clip in a branch: a folder, a zip a clip, or one zip of all clips."""

from __future__ import annotations

import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from b2scvr.types import InputError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
_MASK_LEVEL = 127  # of a lossy mask; in others every value but 0 is marked


@dataclass(frozen=True)
class PictureSeries:
    """Pictures in the order of their names. `source` is the folder or the zip that `names` lie in."""

    source: Path
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The pictures' numbers: those of their names where all are numbers from 0 on, else their places."""
        stems = [PurePosixPath(name).stem for name in self.names]
        return tuple(map(int, stems)) if all(stem.isdecimal() for stem in stems) else tuple(range(len(stems)))

    @property
    def has_gaps(self) -> bool:
        """Whether a number is left out (pictures lost after decoding: the others still stand in their places)."""
        return self.numbers != tuple(range(self.numbers[0], self.numbers[0] + len(self)))

    def pictures(self) -> np.ndarray:
        """Return uint8 [T, H, W, 3] RGB. Raises InputError when one cannot be read or has another size."""
        return self._stacked(cv2.IMREAD_COLOR_RGB)

    def masks(self) -> np.ndarray:
        """Return uint8 [T, H, W], 1 = marked. Raises InputError when one cannot be read or has another size."""
        lossy = PurePosixPath(self.names[0]).suffix.lower() != ".png"
        return (self._stacked(cv2.IMREAD_GRAYSCALE) > (_MASK_LEVEL if lossy else 0)).astype(np.uint8)

    def _stacked(self, flags: int) -> np.ndarray:
        whole: np.ndarray | None = None
        for index, (name, content) in enumerate(self._contents()):
            image = cv2.imdecode(np.frombuffer(content, np.uint8), flags) if content else None
            if image is None:
                raise InputError(f"{self.source}: {name} is not a picture that can be read")
            if whole is None:
                whole = np.empty((len(self), *image.shape), np.uint8)
            if image.shape != whole.shape[1:]:
                raise InputError(
                    f"{self.source}: {name} is {image.shape[1]}x{image.shape[0]}, others {whole.shape[2]}x{whole.shape[1]}"
                )
            whole[index] = image
        if whole is None:
            raise InputError(f"{self.source}: holds no pictures")
        return whole

    def _contents(self) -> Iterator[tuple[str, bytes]]:
        try:
            if self.source.is_dir():
                yield from ((name, (self.source / name).read_bytes()) for name in self.names)
            else:
                with zipfile.ZipFile(self.source) as archive:
                    yield from ((name, archive.read(name)) for name in self.names)
        except (OSError, zipfile.BadZipFile) as error:
            raise InputError(f"{self.source}: cannot be read ({error})") from error


def find_series(branch: Path, folders: Iterable[str], clip: str) -> PictureSeries | None:
    """Return the pictures of `clip` in the first of `folders` of `branch` that has them: FOLDER/<id>/, FOLDER/<id>.zip
    or <id>/ in FOLDER.zip. None when there are none; InputError when a zip cannot be read."""
    for folder in folders:
        place = branch / folder / clip
        if place.is_dir() and (names := _picture_names(path.name for path in place.iterdir())):
            return PictureSeries(place, names)
        for archive in (branch / folder / f"{clip}.zip", branch / f"{folder}.zip"):
            if archive.is_file():
                by_folder = _zip_members(archive, archive.stat().st_mtime_ns)
                alone = archive.stem == clip and len(by_folder) == 1
                if names := next(iter(by_folder.values())) if alone else by_folder.get(clip, ()):
                    return PictureSeries(archive, names)
    return None


def list_series(branch: Path, folders: Iterable[str]) -> set[str]:
    """Return the ids of the clips that have pictures in one of `folders` of `branch`."""
    found: set[str] = set()
    for folder in folders:
        if (branch / folder).is_dir():
            entries = [path for path in (branch / folder).iterdir() if not path.name.startswith(".")]
            found |= {path.name for path in entries if path.is_dir()}
            found |= {path.stem for path in entries if path.suffix == ".zip"}
        archive = branch / f"{folder}.zip"
        if archive.is_file():
            found |= _zip_members(archive, archive.stat().st_mtime_ns).keys() - {""}
    return found


@lru_cache(maxsize=8)
def _zip_members(archive: Path, modified_ns: int) -> dict[str, tuple[str, ...]]:
    """Return the pictures in a zip by the folder that they lie in ("" = none). `modified_ns` renews what is remembered."""
    try:
        with zipfile.ZipFile(archive) as opened:
            members = opened.namelist()
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{archive}: cannot be read ({error})") from error
    by_folder: dict[str, list[str]] = defaultdict(list)
    for name in members:
        by_folder[PurePosixPath(name).parent.name].append(name)
    return {folder: names for folder, found in by_folder.items() if (names := _picture_names(found))}


def _picture_names(names: Iterable[str]) -> tuple[str, ...]:
    kept = (PurePosixPath(name) for name in names)
    return tuple(sorted(str(n) for n in kept if n.suffix.lower() in SUFFIXES and not n.name.startswith(".")))
