"""The published generator's arithmetic, digit by digit, on streams small enough to count by hand."""

import math

import pytest

from b2scvr.bitstream.damage import CutModel, damage
from b2scvr.bitstream.nal import NalType, scan

_GOP_1 = bytes.fromhex("00000167 42  000001 65 88 112233445566778899aabbccdd")  # slice: digits 10 to 46
_GOP_2 = bytes.fromhex("00000167 42  000001 65 88 a1b2c3d4e5f697")  # slice: digits 56 to 80


def _cut(stream, position, digits, slices=1, seed=0):
    model = CutModel(slices, position=position, length=digits, seed=seed, legacy_nibbles=True)
    damaged, changes = damage(stream, model)
    assert damage(stream, model) == (damaged, changes)
    return damaged, changes


def test_a_cut_at_an_odd_digit_joins_two_halves_of_bytes():
    """E = 36 - 7 - 8 = 21, floor(10 + 7 + 21 / 2) = 27; in the last GOP E = 24 - 7 - 8 = 9, floor(56 + 7 + 9 / 2) = 67."""
    damaged, changes = _cut(_GOP_1 + _GOP_2, 0.5, 8)
    assert damaged.hex() == "0000016742000001658811223348" + "99aabbccdd" + "0000016742" + "0000016588a5f697"
    assert [(c.offset, c.length, c.replacement, c.kind) for c in changes] == [
        (13, 5, b"\x48", "removed"),
        (33, 5, b"\xa5", "removed"),
    ]


def test_a_cut_at_an_even_digit():
    """E = 21 and L = 1 / 21 is digit 18, the first one behind the NAL header."""
    damaged, changes = _cut(_GOP_1 + _GOP_2, 1 / 21, 8)
    assert damaged.startswith(_GOP_1[:9] + _GOP_1[13:]) and (changes[0].offset, changes[0].length) == (9, 4)


def test_position_0_destroys_the_header():
    damaged, _ = _cut(_GOP_1 + _GOP_2, 0, 8)
    assert damaged.startswith(bytes.fromhex("0000016742 000001 63 445566"))


def test_without_a_slice_that_is_long_enough_the_last_one_fuses_with_the_next_nal_unit():
    """GOP 1: digits 10 + 9 to 46 + 1. The last GOP is not checked: E = -23, digits 51 to 91, of which 50 to 80 exist."""
    damaged, changes = _cut(_GOP_1 + _GOP_2, 0.5, 40)
    assert damaged.hex() == "0000016742" + "0000016580" + "00"
    assert [(c.slice, c.kind) for c in changes] == [(0, "removed"), (-1, "removed"), (-1, "removed"), (1, "removed")]


def test_a_slice_too_short_gives_way_to_the_first_one_of_its_gop_that_is_longer():
    short = bytes.fromhex("000001 41 9a 1122")
    stream = _GOP_1 + short * 3 + _GOP_2
    for seed in range(8):  # whichever is drawn, the long one is cut
        _, changes = _cut(stream, 0.5, 20, seed=seed)
        assert changes[0].access_unit == changes[0].slice == 0
    damaged, changes = _cut(stream, 0.5, 20, slices=4)  # four times 20 digits in a row; 20 in the last GOP
    first = 10 + 7 + (36 - 7 - 20) // 2
    assert (changes[0].offset, sum(c.length - len(c.replacement) for c in changes)) == (first // 2, 40 + 10)
    assert len(damaged) == len(stream) - 50


@pytest.mark.parametrize(("position", "offset"), [(0.0, 8), (1.0, 13)])
def test_first_and_last_position(position, offset):
    """In `_GOP_2` alone, one GOP: digits x = 10, y = 34, E = 9: from 17 or 26."""
    _, (change,) = _cut(_GOP_2, position, 8)
    assert change.offset == offset


def test_slices_outside_of_a_gop_are_not_drawn():
    stream = bytes.fromhex("000001 41 9a 1122334455667788")
    assert _cut(stream, 0.4, 4) == (stream, [])


@pytest.mark.parametrize("digits", [40, 200, 600])
@pytest.mark.parametrize("position", [0.2, 0.43, 0.8])
def test_a_real_stream_is_cut_as_its_text_would_be(digits, position, clean_stream):
    """Every slice is drawn, so the draw does not matter: the same in string operations, the last cut first."""
    units = scan(clean_stream)
    places = [2 * (nal.payload - 3) for nal in units] + [2 * len(clean_stream)]
    slices = [(x, y, nal) for x, y, nal in zip(places, places[1:], units, strict=False) if nal.is_slice]
    second = next(n for n, (_, _, nal) in enumerate(slices) if n and nal.type == NalType.IDR)
    starts = []
    for number, (x, y, _) in enumerate(slices):
        if number < second and y - x <= digits:
            x, y = next((x, y) for x, y, _ in slices if y - x > digits)
        starts.append(math.floor(x + 7 + (y - x - 7 - digits) * position))
    text = clean_stream.hex()
    for start in sorted(starts, reverse=True):
        text = text[:start] + text[start + digits :]
    damaged, _ = _cut(clean_stream, position, digits, slices=len(slices))
    assert damaged.hex() == text[: len(text) // 2 * 2]  # a cut past the end may leave half a byte
