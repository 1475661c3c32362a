"""Bit errors: exactly the channel's bits are flipped, at its rate, and none in protected parts."""

import numpy as np
import pytest

from b2scvr.bitstream.damage import BitErrors, GilbertElliott, Independent, damage
from b2scvr.bitstream.nal import NalType, scan


def _flipped(before, after):
    assert len(before) == len(after)
    bits = [np.unpackbits(np.frombuffer(data, np.uint8)) for data in (before, after)]
    return np.flatnonzero(bits[0] != bits[1])


@pytest.mark.parametrize("channel", [Independent(1e-4), GilbertElliott(1e-5, 1e-2, 0, 0.5)])
def test_the_bits_of_the_channel_are_flipped(channel, long_stream):
    damaged, changes = damage(long_stream, BitErrors(channel, seed=4))
    expected = channel.errors(8 * len(long_stream), np.random.default_rng(4))
    assert len(expected) > 50 and np.array_equal(_flipped(long_stream, damaged), expected)
    assert {c.kind for c in changes} <= {"overwritten", "zeroed"}
    touched = {at for c in changes for at in range(c.offset, c.offset + c.length)}
    assert touched == set((expected // 8).tolist())


def test_bit_0_is_the_first_one_of_the_first_byte():
    stream = bytes.fromhex("000001 65 88 ff00ff00")
    every, (change,) = damage(stream, BitErrors(Independent(1)))
    assert every.hex() == "fffffe9a7700ff00ff" and (change.offset, change.length) == (0, len(stream))


def test_the_rate_is_within_binomial_bounds(long_stream):
    bits = 8 * len(long_stream)
    damaged, _ = damage(long_stream, BitErrors(Independent(1e-3), seed=1))
    assert abs(len(_flipped(long_stream, damaged)) - bits * 1e-3) < 5 * np.sqrt(bits * 1e-3)
    assert damage(long_stream, BitErrors(Independent(1e-3), seed=1))[0] == damaged
    assert damage(long_stream, BitErrors(Independent(1e-3), seed=2))[0] != damaged


def test_protected_parts_arrive(clean_stream):
    damaged, changes = damage(clean_stream, BitErrors(Independent(0.5), protect=("sets", "idr", "headers")))
    units, first_slice = scan(clean_stream), True
    for nal in units:
        before, after = (data[nal.start : nal.end] for data in (clean_stream, damaged))
        if nal.type in (NalType.SPS, NalType.PPS) or (nal.is_slice and first_slice):
            assert before == after
        elif nal.is_slice:
            assert before[:6] == after[:6] and before != after
        first_slice = first_slice and not nal.is_slice
    assert {c.access_unit for c in changes if c.slice >= 0} == set(range(1, sum(nal.is_slice for nal in units)))
