"""Packet loss as it reaches the elementary stream: over RTP (RFC 6184) and in an MPEG transport stream (ISO 13818-1)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np

from b2scvr.bitstream.damage.channel import ONE_PERCENT, Channel
from b2scvr.bitstream.damage.coded_stream import CodedStream, check_parts, spans
from b2scvr.bitstream.damage.model import DamageModel, Edit
from b2scvr.bitstream.nal import NalUnit

_HEADERS = 20 + 8 + 12  # bytes of IPv4, UDP and RTP header
_FRAGMENT_HEADER = 2  # FU indicator and FU header (RFC 6184, 5.8)
_SMALLEST_MTU = 68  # RFC 791
_TS_PAYLOAD = 188 - 4  # a packet without its header (ISO 13818-1, 2.4.3.2)
_PES_HEADER = 19  # with both time stamps (2.4.3.6), as streams with B pictures need it

INCOMPLETE = ("prefix", "drop", "join")


@dataclass(frozen=True)
class RtpLoss(DamageModel):
    """RTP packets of the packetization mode 1 of RFC 6184 are lost; the receiver writes what arrived as a byte stream.

    A NAL unit that fits an MTU is a packet of its own (5.6), a longer one is sent in fragments FU-A (5.8) as long as the
    MTU allows; nothing is aggregated. Of a NAL unit that lost a fragment the receiver keeps what came before the first
    lost one ("prefix": RFC 6184 has the later ones discarded and lets the earlier ones through; without its
    forbidden_zero_bit, for which decoders skip the NAL unit), or nothing ("drop"), or joins all that arrived, the NAL
    header taken from any fragment ("join").
    """

    name: ClassVar[str] = "rtp"
    default_bad: ClassVar[float] = 1.0

    channel: Channel = ONE_PERCENT
    mtu: int = 1500  # bytes of an IP packet
    incomplete: str = "prefix"
    protect: tuple[str, ...] = ()  # packets with a byte of these parts arrive, named as in CodedStream.protected
    seed: int = 0

    def validate(self) -> RtpLoss:
        """Return self; raise ValueError naming the parameter that makes no sense."""
        self.channel.validate()
        check_parts(self.protect)
        if self.mtu < _SMALLEST_MTU:
            raise ValueError(f"mtu {self.mtu} must be at least {_SMALLEST_MTU} bytes")
        if self.incomplete not in INCOMPLETE:
            raise ValueError(f"incomplete {self.incomplete!r} must be one of {', '.join(INCOMPLETE)}")
        return self

    def edits(self, stream: CodedStream) -> list[Edit]:
        """Return one edit for each NAL unit, or for each run of lost fragments, that did not arrive."""
        sent = [self._packets(unit) for unit in stream.units]
        packets = [packet for of_unit in sent for packet in of_unit]
        owner = np.repeat(np.arange(len(sent)), [len(of_unit) for of_unit in sent])
        lost: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        for index in _lost(packets, self, stream):
            lost[int(owner[index])].append(packets[index])
        missing = []
        for number, fragments in lost.items():
            whole = stream.units[number].start, int(stream.ends[number])
            missing += self._missing(whole, sent[number], fragments)
        return [Edit(start, end - start) for start, end in missing]

    def _missing(
        self, whole: tuple[int, int], sent: list[tuple[int, int]], lost: list[tuple[int, int]]
    ) -> list[tuple[int, int]]:
        """Return the bytes of a NAL unit, `whole`, that the receiver does not write."""
        if self.incomplete == "drop" or len(lost) == len(sent):
            return [whole]
        if self.incomplete == "join":
            return lost
        return [whole] if lost[0] == sent[0] else [(lost[0][0], whole[1])]

    def _packets(self, unit: NalUnit) -> list[tuple[int, int]]:
        """Return the bytes of the stream that each packet of a NAL unit brings."""
        room = self.mtu - _HEADERS
        if unit.end - unit.payload <= room:
            return [(unit.start, unit.end)]
        starts = range(unit.payload + 1, unit.end, room - _FRAGMENT_HEADER)
        return [(start, min(start + starts.step, unit.end)) for start in starts]


@dataclass(frozen=True)
class TsLoss(DamageModel):
    """Packets of an MPEG transport stream are lost, each with up to 184 bytes; the receiver joins what arrived.

    Every access unit is a PES packet that starts a transport packet of its own, its header taking 19 bytes of the first.
    """

    name: ClassVar[str] = "ts"
    default_bad: ClassVar[float] = 1.0

    channel: Channel = ONE_PERCENT
    protect: tuple[str, ...] = ()  # packets with a byte of these parts arrive, named as in CodedStream.protected
    seed: int = 0

    def validate(self) -> TsLoss:
        """Return self; raise ValueError naming the parameter that makes no sense."""
        self.channel.validate()
        check_parts(self.protect)
        return self

    def edits(self, stream: CodedStream) -> list[Edit]:
        """Return one edit for each run of lost packets."""
        first_units = np.flatnonzero(np.diff(stream.access_units, prepend=-1))
        borders = [0, *stream.starts[first_units[1:]].tolist(), len(stream.data)]
        packets: list[tuple[int, int]] = []
        for begin, end in pairwise(borders):
            cuts = [begin, *range(begin + _TS_PAYLOAD - _PES_HEADER, end, _TS_PAYLOAD), end]
            packets += pairwise(cuts)
        gone = np.zeros(len(stream.data), bool)
        for index in _lost(packets, self, stream):
            gone[slice(*packets[index])] = True
        return [Edit(start, end - start) for start, end in spans(gone)]


def _lost(packets: list[tuple[int, int]], model: RtpLoss | TsLoss, stream: CodedStream) -> list[int]:
    """Return the numbers of the packets that the channel loses and that bring no protected byte."""
    drawn = model.channel.errors(len(packets), np.random.default_rng(model.seed))
    before = np.append(0, np.cumsum(stream.protected(model.protect)))
    return [int(index) for index in drawn if before[packets[index][0]] == before[packets[index][1]]]
