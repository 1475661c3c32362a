"""What every damage model is, and applying one or several: edits of a byte stream, and where in the video they lie."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import ClassVar, Self

import numpy as np

from b2scvr.bitstream.damage.channel import Channel
from b2scvr.bitstream.damage.coded_stream import CodedStream


@dataclass(frozen=True)
class Edit:
    """`length` (> 0) bytes from `offset` on give way to `replacement`, which is never longer than they are."""

    offset: int
    length: int
    replacement: bytes = b""


@dataclass(frozen=True)
class Change(Edit):
    """An edit that was made; `offset` counts in what the model was given, the numbers in the undamaged stream.

    A change lies in one NAL unit: a longer edit becomes several changes.
    """

    access_unit: int = -1  # in decoding order, from 0; -1 before the first NAL unit
    slice: int = -1  # in file order, from 0; -1 in a NAL unit that is no slice

    @property
    def kind(self) -> str:
        """What happened to the bytes: "removed" (all or most of them), "zeroed" or "overwritten"."""
        if len(self.replacement) < self.length:
            return "removed"
        return "overwritten" if any(self.replacement) else "zeroed"

    def as_dict(self) -> dict[str, object]:
        """The change ready for JSON; `replacement` in hexadecimal, left out where the kind tells it."""
        entry: dict[str, object] = {
            "offset": self.offset,
            "length": self.length,
            "kind": self.kind,
            "access_unit": self.access_unit,
            "slice": self.slice,
        }
        is_told = self.kind == "zeroed" or not self.replacement
        return entry if is_told else entry | {"replacement": self.replacement.hex()}


@dataclass(frozen=True)
class DamageModel(ABC):
    """A kind of damage with its parameters. The same model does the same to the same bytes, every time.

    What is random comes from the model's own `seed`, where it has one.
    """

    name: ClassVar[str]  # in specifications and manifests

    @abstractmethod
    def validate(self) -> Self:
        """Return self; raise ValueError naming the parameter that makes no sense."""

    @abstractmethod
    def edits(self, stream: CodedStream) -> list[Edit]:
        """Return what is done to a stream: edits in ascending order that do not overlap."""

    def as_dict(self) -> dict[str, object]:
        """The parameters by name, ready for JSON, those of a channel among them."""
        parameters: dict[str, object] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            parameters.update(asdict(value) if isinstance(value, Channel) else {field.name: value})
        return parameters


@dataclass(frozen=True)
class Applied:
    """A model and what it changed."""

    model: DamageModel
    changes: list[Change]


def damage(data: bytes, model: DamageModel) -> tuple[bytes, list[Change]]:
    """Return the damaged copy of an H.264 Annex-B stream and what was changed, in file order.

    Raises ValueError for parameters that make no sense, and where no H.264 slice is found.
    """
    damaged, (applied,) = damage_all(data, [model])
    return damaged, applied.changes


def damage_all(data: bytes, models: Iterable[DamageModel]) -> tuple[bytes, list[Applied]]:
    """Apply models one after the other: each damages what the one before it left. Otherwise as `damage`."""
    clean = CodedStream(data)
    if not clean.slices:
        raise ValueError("no H.264 slice found: is this an Annex-B elementary stream?")
    origin = np.arange(len(data))  # of each byte that is left, in the undamaged stream
    stream, record = clean, []
    for model in models:
        changes = list(_locate(model.validate().edits(stream), clean, origin))
        record.append(Applied(model, changes))
        stream = CodedStream(apply_changes(stream.data, changes))
        kept = np.ones(len(origin), bool)
        for change in changes:
            kept[change.offset + len(change.replacement) : change.offset + change.length] = False
        origin = origin[kept]
    return stream.data, record


def apply_changes(data: bytes, changes: Sequence[Edit]) -> bytes:
    """Return `data` with edits made that are in ascending order; ValueError when they overlap or reach past the end."""
    pieces, position = [], 0
    for change in changes:
        if not position <= change.offset <= change.offset + change.length <= len(data):
            raise ValueError(f"the change of {change.length} bytes at {change.offset} fits no {len(data)} bytes")
        pieces += [data[position : change.offset], change.replacement]
        position = change.offset + change.length
    return b"".join([*pieces, data[position:]])


def _locate(edits: list[Edit], clean: CodedStream, origin: np.ndarray) -> Iterator[Change]:
    """Yield the edits as changes, split where one NAL unit of the undamaged stream ends and the next begins."""
    for edit in edits:
        units = np.searchsorted(clean.starts, origin[edit.offset : edit.offset + edit.length], side="right") - 1
        borders = [0, *(np.flatnonzero(np.diff(units)) + 1).tolist(), edit.length]
        for first, end in pairwise(borders):
            unit = int(units[first])
            where = (int(clean.access_units[unit]), int(clean.slice_numbers[unit])) if unit >= 0 else (-1, -1)
            yield Change(edit.offset + first, end - first, edit.replacement[first:end], *where)
