"""A file that ends early: an interrupted transfer or recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from b2scvr.bitstream.damage.coded_stream import CodedStream
from b2scvr.bitstream.damage.model import DamageModel, Edit


@dataclass(frozen=True)
class Truncation(DamageModel):
    """Everything from a place on is missing. Exactly one of the two parameters says where."""

    name: ClassVar[str] = "truncate"

    fraction: float | None = None  # of the bytes that stay, in [0, 1]
    byte: int | None = None  # the first missing byte; a shorter stream stays whole

    def validate(self) -> Truncation:
        """Return self; raise ValueError naming the parameter that makes no sense."""
        if (self.fraction is None) == (self.byte is None):
            raise ValueError("truncation needs a place: either fraction or byte must be given")
        if self.fraction is not None and not 0 <= self.fraction <= 1:
            raise ValueError(f"fraction {self.fraction} must lie in [0, 1]")
        if self.byte is not None and self.byte < 0:
            raise ValueError(f"byte {self.byte} must be at least 0")
        return self

    def edits(self, stream: CodedStream) -> list[Edit]:
        """Return one edit, none where nothing is missing."""
        size = len(stream.data)
        place = self.byte if self.byte is not None else int((self.fraction or 0) * size)
        return [Edit(place, size - place)] if place < size else []
