"""Bit errors, independent at a bit error rate or in bursts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from b2scvr.bitstream.damage.channel import Channel, Independent
from b2scvr.bitstream.damage.coded_stream import CodedStream, check_parts, spans
from b2scvr.bitstream.damage.model import DamageModel, Edit

_FIRST_BIT = 0x80
_ONE_IN_A_MILLION = Independent(1e-6)


@dataclass(frozen=True)
class BitErrors(DamageModel):
    """Bits of the stream, start codes included, are flipped where the channel has an error. Protected ones never are."""

    name: ClassVar[str] = "bits"
    default_bad: ClassVar[float] = 0.5  # a bit of the bad state tells nothing (Gilbert 1960)

    channel: Channel = _ONE_IN_A_MILLION
    protect: tuple[str, ...] = ()  # parts named as in CodedStream.protected
    seed: int = 0

    def validate(self) -> BitErrors:
        """Return self; raise ValueError naming the parameter that makes no sense."""
        self.channel.validate()
        check_parts(self.protect)
        return self

    def edits(self, stream: CodedStream) -> list[Edit]:
        """Return one edit for each run of bytes with errors."""
        before = np.frombuffer(stream.data, np.uint8)
        bits = self.channel.errors(8 * len(before), np.random.default_rng(self.seed))
        flips = np.zeros(len(before), np.uint8)
        np.bitwise_or.at(flips, bits >> 3, (_FIRST_BIT >> (bits & 7)).astype(np.uint8))
        flips[stream.protected(self.protect)] = 0
        after = (before ^ flips).tobytes()
        return [Edit(first, end - first, after[first:end]) for first, end in spans(flips > 0)]
