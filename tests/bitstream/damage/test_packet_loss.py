"""Packet loss: which bytes a lost packet takes with it, over RTP and in a transport stream, and how many are lost."""

from itertools import pairwise

import numpy as np
import pytest

from b2scvr.bitstream.damage import GilbertElliott, Independent, RtpLoss, TsLoss, damage
from b2scvr.bitstream.nal import START_CODE, NalType, scan


class _Lost:
    """A channel that loses chosen packets, and notes how many were sent."""

    def __init__(self, *places):
        self.places, self.sent = places, None

    def validate(self):
        pass

    def errors(self, count, rng):
        self.sent = count
        return np.array([place for place in self.places if place < count], np.int64)


def _nal(number, size):
    """A slice of `size` bytes with its NAL header."""
    return bytes([0x65 if number == 0 else 0x41, 0x80 + number]) + bytes([number + 1]) * (size - 2)


def _stream(*sizes):
    return b"".join(START_CODE + _nal(number, size) for number, size in enumerate(sizes))


def test_packets_of_rtp():
    """An MTU of 100 leaves 60 bytes: NAL units of up to 60 in one packet, a longer one without its header in 58s."""
    for size, packets in ((60, 1), (61, 2), (117, 2), (118, 3)):
        channel = _Lost()
        assert damage(_stream(size), RtpLoss(channel, mtu=100))[1] == [] and channel.sent == packets


def test_a_lost_packet_that_was_a_whole_nal_unit():
    stream = _stream(60, 30, 40)
    damaged, (change,) = damage(stream, RtpLoss(_Lost(1), mtu=100))
    assert damaged == START_CODE + _nal(0, 60) + START_CODE + _nal(2, 40)
    assert (change.offset, change.length, change.kind, change.access_unit, change.slice) == (64, 34, "removed", 1, 1)


@pytest.mark.parametrize(
    ("lost", "incomplete", "kept"),
    [
        ((1,), "prefix", 1 + 58),
        ((1,), "drop", 0),
        ((1,), "join", 1 + 58 + 34),
        ((0,), "prefix", 0),
        ((0,), "join", 1 + 58 + 34),
        ((2,), "prefix", 1 + 116),
        ((0, 1, 2), "join", 0),
    ],
)
def test_what_is_kept_of_a_nal_unit_that_lost_fragments(lost, incomplete, kept):
    """151 bytes: the NAL header, fragments of 58, 58 and 34 bytes."""
    stream = _stream(151, 20)
    damaged, _ = damage(stream, RtpLoss(_Lost(*lost), mtu=100, incomplete=incomplete))
    first = damaged[: -len(START_CODE) - 20]
    assert damaged.endswith(START_CODE + _nal(1, 20))
    assert len(first) == (kept + 4 if kept else 0)
    if incomplete == "join" and kept:
        payload = _nal(0, 151)[1:]
        pieces = [payload[at : at + 58] for at in (0, 58, 116)]
        assert first == START_CODE + b"\x65" + b"".join(p for n, p in enumerate(pieces) if n not in lost)


@pytest.mark.parametrize("model", [RtpLoss, TsLoss])
def test_the_rate_is_within_binomial_bounds(model, long_stream):
    lost, sent = 0, 0
    for seed in range(3):
        channel = Independent(0.1)
        counter = _Lost()
        damage(long_stream, model(counter))
        sent += counter.sent
        damaged, changes = damage(long_stream, model(channel, seed=seed))
        lost += len(channel.errors(counter.sent, np.random.default_rng(seed)))
        assert len(long_stream) - len(damaged) == sum(c.length for c in changes) > 0
        assert damage(long_stream, model(channel, seed=seed)) == (damaged, changes)
    assert abs(lost - 0.1 * sent) < 5 * np.sqrt(sent * 0.09)


def test_fragments_lost_in_bursts_are_neighbours(long_stream):
    bursty = RtpLoss(GilbertElliott(0.02, 0.2, 0, 1), incomplete="join")
    single = RtpLoss(Independent(0.02 / 0.22), incomplete="join")
    (_, in_bursts), (_, alone) = damage(long_stream, bursty), damage(long_stream, single)

    def bytes_of_a_run(changes):
        runs = 1 + sum(a.offset + a.length < b.offset - 6 for a, b in pairwise(changes))  # 6: start code and headers
        return sum(c.length for c in changes) / runs

    assert bytes_of_a_run(in_bursts) > 2 * bytes_of_a_run(alone)


def test_packets_of_a_transport_stream():
    """Each access unit starts a packet: 165 bytes beside the PES header, then 184s; here 165 + 184 + 11, then 50."""
    stream = _stream(360 - 4, 46)
    channel = _Lost(1)
    damaged, (change,) = damage(stream, TsLoss(channel))
    assert channel.sent == 4 and (change.offset, change.length) == (165, 184)
    assert damaged == stream[:165] + stream[349:]
    assert damage(stream, TsLoss(_Lost(2, 3)))[0] == stream[:349]
    parts = damage(stream, TsLoss(_Lost(2, 3)))[1]
    assert [(c.offset, c.length, c.access_unit) for c in parts] == [(349, 11, 0), (360, 50, 1)]


def test_a_picture_of_several_slices_is_one_access_unit():
    second_slice = START_CODE + b"\x41\x40" + b"\x22" * 100  # first_mb_in_slice above 0
    stream = _stream(100) + second_slice + _stream(100)
    channel = _Lost(0)
    damaged, _ = damage(stream, TsLoss(channel))
    assert channel.sent == 2 + 1 and damaged == stream[165:]


@pytest.mark.parametrize("model", [RtpLoss, TsLoss])
def test_protected_packets_arrive(model, clean_stream):
    def units(data):
        return [data[nal.payload : nal.end] for nal in scan(data)]

    everything, _ = damage(clean_stream, model(Independent(1)))
    assert everything == b""
    damaged, changes = damage(clean_stream, model(Independent(1), protect=("sets", "idr")))
    kept = [nal for nal in scan(clean_stream) if nal.type in (NalType.SPS, NalType.PPS)]
    for nal in kept:
        assert clean_stream[nal.payload : nal.end] in units(damaged)
    first = next(nal for nal in scan(clean_stream) if nal.type == NalType.IDR)
    assert clean_stream[first.payload : first.end] in damaged
    assert 0 not in {change.slice for change in changes} and max(change.slice for change in changes) == 23


def test_values_that_make_no_sense(long_stream):
    with pytest.raises(ValueError, match="mtu"):
        damage(long_stream, RtpLoss(mtu=60))
    with pytest.raises(ValueError, match="prefix, drop, join"):
        damage(long_stream, RtpLoss(incomplete="all"))
    with pytest.raises(ValueError, match="known are sets, idr, headers"):
        damage(long_stream, TsLoss(protect=("sps",)))
