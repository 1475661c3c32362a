"""ParsedClip <-> .npz, with the version of the parser and the SHA-256 of the source; with its pictures or without."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from b2scvr.types import PARSER_VERSION, InputError, Overwritten, ParsedClip, Planes, array_fields

_HEADER = "header"  # the fields that are not arrays, as JSON
_PLANE_NAMES = tuple(f.name for f in fields(Planes))
_OF_PICTURES = {"planes", "overwritten"}  # fields with an entry for some pictures, stored as field/index/name


def save_clip(path: str | Path, clip: ParsedClip, pictures: bool = True) -> None:
    """Write `clip` to `path` (.npz, compressed), in one piece: a reader finds the whole file or none.

    pictures: False leaves `frames` and `planes` out, which are hundreds of times as large as all other fields together:
    for a clip whose pictures are stored elsewhere.
    """
    path = Path(path)
    arrays = array_fields(clip)
    plain = {f.name for f in fields(clip)} - {*arrays, *_OF_PICTURES}
    header = {name: getattr(clip, name) for name in sorted(plain)}
    if pictures:
        for index, planes in clip.planes.items():
            arrays |= _by_name(f"planes/{index}", planes)
    else:
        del arrays["frames"]
    for index, found in clip.overwritten.items():
        arrays |= _by_name(f"overwritten/{index}", found, but="planes")
        arrays |= _by_name(f"overwritten/{index}", found.planes)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **{_HEADER: np.array(json.dumps(header))}, **arrays)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load_clip(path: str | Path, source_sha256: str | None = None, frames: np.ndarray | None = None) -> ParsedClip:
    """Return the clip that `save_clip` wrote to `path`.

    frames: uint8 [T, H, W, 3], for a file that was written without pictures. Raises InputError when the file is missing
    or no such clip, when another version of the parser wrote it, when it was read from another source than the one whose
    SHA-256 is given, or when its pictures are neither in the file nor given, or not as many or not of its size.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            stored = {name: archive[name] for name in archive.files}
        header = json.loads(str(stored.pop(_HEADER)))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a parsed clip ({error})") from error
    if header.get("parser_version") != PARSER_VERSION:
        raise InputError(
            f"{path}: written by parser version {header.get('parser_version')}, this is version {PARSER_VERSION}; parse again"
        )
    if source_sha256 not in (None, header["source_sha256"]):
        raise InputError(f"{path}: was read from another file (SHA-256 {header['source_sha256']}); parse again")
    if "frames" not in stored:
        if frames is None:
            raise InputError(f"{path}: was written without its pictures; give them, or parse the stream")
        stored["frames"] = frames
    of_pictures: dict[str, dict[int, dict[str, np.ndarray]]] = {name: {} for name in _OF_PICTURES}
    for key in [key for key in stored if key.startswith(tuple(f"{name}/" for name in _OF_PICTURES))]:
        field, index, name = key.split("/")
        of_pictures[field].setdefault(int(index), {})[name] = stored.pop(key)
    known = {f.name for f in fields(ParsedClip)} - _OF_PICTURES
    if strange := known ^ {*stored, *header}:
        raise InputError(f"{path}: not a parsed clip ({', '.join(sorted(strange))} missing or unknown)")
    header = {name: tuple(value) if isinstance(value, list) else value for name, value in header.items()}
    planes = {index: _planes(found) for index, found in of_pictures["planes"].items()}
    overwritten = {index: _overwritten(found) for index, found in of_pictures["overwritten"].items()}
    try:
        return ParsedClip(**stored, **header, planes=planes, overwritten=overwritten).validate()
    except ValueError as error:
        raise InputError(f"{path}: does not belong to its pictures ({error})") from error


def _by_name(place: str, carrier: object, but: str = "") -> dict[str, np.ndarray]:
    names = [f.name for f in fields(carrier) if f.name != but]  # type: ignore[arg-type]
    return {f"{place}/{name}": np.asarray(getattr(carrier, name)) for name in names}


def _planes(found: dict[str, np.ndarray]) -> Planes:
    """Take the samples of a picture out of what was stored of it."""
    y, u, v, interlaced = (found.pop(name) for name in _PLANE_NAMES)
    return Planes(y, u, v, bool(interlaced))


def _overwritten(found: dict[str, Any]) -> Overwritten:
    arrived, proven = bool(found.pop("arrived")), bool(found.pop("proven"))
    return Overwritten(arrived=arrived, proven=proven, planes=_planes(found), **found)
