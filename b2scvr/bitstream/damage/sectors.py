"""Bad sectors of a disk or card: whole sectors of the file read as zeros or garbage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from b2scvr.bitstream.damage.channel import ONE_PERCENT, Channel
from b2scvr.bitstream.damage.coded_stream import CodedStream, check_parts, spans
from b2scvr.bitstream.damage.model import DamageModel, Edit

FILLS = ("zeros", "random")


@dataclass(frozen=True)
class BadSectors(DamageModel):
    """Sectors are overwritten where the channel has an error; the file starts with a sector. Protected bytes stay."""

    name: ClassVar[str] = "sectors"
    default_bad: ClassVar[float] = 1.0

    channel: Channel = ONE_PERCENT
    size: int = 4096  # bytes of a sector
    fill: str = "zeros"
    protect: tuple[str, ...] = ()  # parts named as in CodedStream.protected
    seed: int = 0

    def validate(self) -> BadSectors:
        """Return self; raise ValueError naming the parameter that makes no sense."""
        self.channel.validate()
        check_parts(self.protect)
        if self.size < 1:
            raise ValueError(f"size {self.size} must be at least 1 byte")
        if self.fill not in FILLS:
            raise ValueError(f"fill {self.fill!r} must be one of {', '.join(FILLS)}")
        return self

    def edits(self, stream: CodedStream) -> list[Edit]:
        """Return one edit for each run of overwritten bytes."""
        rng = np.random.default_rng(self.seed)
        count = -(-len(stream.data) // self.size)
        bad = np.zeros(count, bool)
        bad[self.channel.errors(count, rng)] = True
        hit = np.repeat(bad, self.size)[: len(stream.data)] & ~stream.protected(self.protect)
        lengths = [(first, end - first) for first, end in spans(hit)]
        return [Edit(first, n, rng.bytes(n) if self.fill == "random" else bytes(n)) for first, n in lengths]
