"""Exp-Golomb codes (H.264 tables 9-2 and 9-3) and fixed-length bits."""

import pytest

from b2scvr.bitstream.bits import BitReader, BitWriter
from b2scvr.types import SpliceError

UNSIGNED = {0: "1", 1: "010", 2: "011", 3: "00100", 4: "00101", 5: "00110", 6: "00111", 7: "0001000", 25: "000011010"}
SIGNED = {0: "1", 1: "010", -1: "011", 2: "00100", -2: "00101", 3: "00110"}


def _written(write):
    writer = BitWriter()
    write(writer)
    length = writer.length
    writer.align("0")
    return f"{int.from_bytes(writer.to_bytes(), 'big'):0{writer.length}b}"[:length]


@pytest.mark.parametrize(("value", "code"), UNSIGNED.items())
def test_unsigned_codes(value, code):
    assert _written(lambda writer: writer.ue(value)) == code
    assert BitReader(int(code.ljust(16, "0"), 2).to_bytes(2, "big")).ue() == value


@pytest.mark.parametrize(("value", "code"), SIGNED.items())
def test_signed_codes(value, code):
    assert _written(lambda writer: writer.se(value)) == code
    assert BitReader(int(code.ljust(16, "0"), 2).to_bytes(2, "big")).se() == value


def test_what_is_written_is_read():
    writer = BitWriter()
    for value in range(-300, 300, 7):
        writer.se(value)
        writer.ue(abs(value))
        writer.u(abs(value) % 32, 5)
    writer.align("1")
    reader = BitReader(writer.to_bytes())
    for value in range(-300, 300, 7):
        assert (reader.se(), reader.ue(), reader.u(5)) == (value, abs(value), abs(value) % 32)


def test_bits_since_and_more_data():
    reader = BitReader(bytes([0b10110100, 0b10000000]))
    reader.u(2)
    reader.u(3)
    assert reader.bits_since(2) == "110" and reader.bits_since(5) == ""
    assert reader.more_rbsp_data()
    reader.u(3)
    assert not reader.more_rbsp_data()  # only the rbsp_stop_one_bit is left


def test_broken_input_is_refused():
    with pytest.raises(SpliceError, match="ends early"):
        BitReader(b"\xff").u(9)
    with pytest.raises(SpliceError, match="Exp-Golomb"):
        BitReader(bytes(10)).ue()
    with pytest.raises(ValueError, match="does not fit"):
        BitWriter().u(4, 2)
    with pytest.raises(ValueError, match="whole number"):
        writer = BitWriter()
        writer.u(1, 3)
        writer.to_bytes()
