"""One training sample, a damaged picture with its surroundings and the truth, and its file.

A sample is one `.npy` file with one structured record: NumPy writes and reads it without pickle, it can be mapped into
memory so that a crop reads only its own rows, and it is complete or absent (written beside, then renamed).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from b2scvr.types import MB_SIZE, Surroundings

SAMPLE_VERSION = 1  # raised whenever the record changes
VALID_STEPS = 255  # candidate_valid is stored in 1/255
_ON_GRID = {"evidence", "damage_trace", "concealed", "slice_start", "wrong"}  # [..., h, w]
_WITH_CHANNELS = {"window", "motion", "candidates", "target"}  # [..., H, W, channels]; all other arrays are [..., H, W]
_NOT_STORED = {"distrusted"}  # no network reads it
_STORED_AS = {"motion": np.float16, "evidence": np.float16, "damage_trace": np.float16, "candidate_valid": np.uint8}


@dataclass(frozen=True)
class Box:
    """A rectangle on the macroblock grid, in macroblocks."""

    top: int
    left: int
    rows: int
    columns: int


@dataclass
class TrainingSample:
    """A damaged picture, what is known around it, and the truth."""

    surroundings: Surroundings
    target: np.ndarray  # uint8 [H, W, 3], the picture of the clean decode
    mask: np.ndarray  # uint8 [H, W], 1 = visibly damaged
    wrong: np.ndarray  # bool [h, w], macroblocks whose decoded pixels differ from the clean decode at all
    restored: bool = True  # splice mode restores it: it lost bits, or predicts from what is not in the stream


def save_sample(path: Path, sample: TrainingSample) -> int:
    """Write `sample` to `path` in one piece and return the bytes written. Motion and evidence become float16."""
    values: dict[str, np.ndarray] = {}
    for f in fields(Surroundings):
        if f.name not in _NOT_STORED:
            values[f.name] = _stored(f.name, getattr(sample.surroundings, f.name))
    values |= {
        "target": sample.target,
        "mask": sample.mask,
        "wrong": sample.wrong,
        "restored": np.array(sample.restored),
    }
    return write_record(path, values)


def write_record(path: Path, values: dict[str, np.ndarray]) -> int:
    """Write arrays to `path` as one structured record, in one piece, and return the bytes written."""
    values = values | {"version": np.array(SAMPLE_VERSION, np.int32)}
    dtype = np.dtype([(name, value.dtype, value.shape) for name, value in values.items()])
    record = np.zeros(1, dtype)
    for name, value in values.items():
        record[name][0] = value
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            np.save(file, record, allow_pickle=False)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path.stat().st_size


def open_record(path: Path, holds: str = "window") -> np.void:
    """Return the sample's record, mapped into memory: fields are read when they are touched.

    holds: a field that tells its kind. Raises ValueError when the file is no sample of this kind and version.
    """
    record = np.load(path, mmap_mode="r", allow_pickle=False)
    if record.dtype.names is None or "version" not in record.dtype.names:
        raise ValueError(f"{path}: not a training sample")
    if int(record["version"][0]) != SAMPLE_VERSION:
        raise ValueError(f"{path}: sample version {int(record['version'][0])}, this code reads {SAMPLE_VERSION}")
    if holds not in record.dtype.names:
        raise ValueError(
            f"{path}: a sample of another kind, without {holds!r}; it holds {', '.join(record.dtype.names)}"
        )
    return record[0]


def load_sample(path: Path, box: Box | None = None) -> TrainingSample:
    """Return the sample at `path`, or the part of it in `box`, in the carriers' own types.

    Only the box is read from the file. Macroblocks at the edge of the box that pass the picture's edge are cut there.
    """
    return read_sample(open_record(path), box)


def read_sample(record: np.void, box: Box | None = None) -> TrainingSample:
    """Return the sample, or the part of it in `box`, of a mapped record (`open_record`)."""
    values = {name: read_field(record, name, box) for name in record.dtype.names or () if name != "version"}
    truth = {name: values.pop(name) for name in ("target", "mask", "wrong")}
    restored = values.pop("restored", values["broken"])  # older samples know of broken pictures only
    return TrainingSample(Surroundings(**values), **truth, restored=restored)


def read_field(record: np.void, name: str, box: Box | None = None) -> Any:
    """Return one field, or the part of it in `box`, of a mapped record, in the carrier's own type."""
    return _restored(name, _cut(name, record[name], box))


def _cut(name: str, array: np.ndarray, box: Box | None) -> np.ndarray:
    if box is None or np.ndim(array) < 2:
        return array
    if name in _ON_GRID:
        return array[..., box.top : box.top + box.rows, box.left : box.left + box.columns]
    y = slice(box.top * MB_SIZE, (box.top + box.rows) * MB_SIZE)
    x = slice(box.left * MB_SIZE, (box.left + box.columns) * MB_SIZE)
    return array[..., y, x, :] if name in _WITH_CHANNELS else array[..., y, x]


def _stored(name: str, value: object) -> np.ndarray:
    if name == "candidate_valid":
        return np.rint(np.asarray(value) * VALID_STEPS).astype(np.uint8)
    array = np.asarray(value)
    return array.astype(_STORED_AS[name]) if name in _STORED_AS else array


def _restored(name: str, value: np.ndarray) -> object:
    if name == "candidate_valid":
        return np.asarray(value, np.float32) / VALID_STEPS
    if name in _STORED_AS:
        return np.asarray(value, np.float32)
    return value.item() if np.ndim(value) == 0 else np.array(value)
