"""NAL units and emulation prevention: examples of H.264 7.4.1 and annex B first."""

import random

import pytest

from b2scvr.bitstream.nal import escape, escaped_length, scan, starts_picture, unescape


@pytest.mark.parametrize(
    ("rbsp", "escaped"),
    [
        ("", ""),
        ("00000080", "0000030080"),
        ("000001", "00000301"),
        ("000002", "00000302"),
        ("000003", "00000303"),
        ("000004", "000004"),
        ("00010000ff", "00010000ff"),
        ("00000000000001", "00000300000300000301"),
        ("410000", "41000003"),  # ends in a cabac_zero_word
    ],
)
def test_emulation_prevention_known_answers(rbsp, escaped):
    assert escape(bytes.fromhex(rbsp)).hex() == escaped
    assert unescape(bytes.fromhex(escaped)).hex() == rbsp


def test_unescape_is_the_inverse_and_no_start_code_is_left():
    draw = random.Random(0)
    for _ in range(300):
        rbsp = bytes(draw.choice((0, 0, 0, 1, 2, 3, 4, 255)) for _ in range(draw.randrange(1, 60))) + b"\x80"
        escaped = escape(rbsp)
        assert unescape(escaped) == rbsp
        assert not any(code in escaped for code in (b"\0\0\0", b"\0\0\1", b"\0\0\2"))


def test_escaped_length_counts_the_prevention_bytes():
    data = bytes.fromhex("000003010000030241")
    assert [escaped_length(data, count) for count in (0, 2, 3, 5, 6, 7)] == [0, 2, 4, 6, 8, 9]


def test_scan_finds_units_types_and_ends():
    data = bytes.fromhex("00000001 6742 000001 68ce 0000 000001 65 80ff 00 00000001 41 9a 0000".replace(" ", ""))
    units = scan(data)
    assert [(u.type, u.ref_idc) for u in units] == [(7, 3), (8, 3), (5, 3), (1, 2)]
    assert [data[u.payload : u.end].hex() for u in units] == ["6742", "68ce", "6580ff", "419a"]
    assert [u.start for u in units] == [0, 6, 12, 20]  # a zero_byte belongs to the start code
    assert [u.is_slice for u in units] == [False, False, True, True]
    assert [starts_picture(data, u) for u in units] == [False, False, True, True]


@pytest.mark.parametrize("data", [b"", b"\0\0", b"\0\0\1", b"\0\0\1\0\0\1", b"no start code here"])
def test_scan_of_nothing(data):
    assert scan(data) == []
