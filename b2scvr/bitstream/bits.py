"""Reading and writing the bits of an RBSP: u(n), ue(v) and se(v) (H.264 7.2, 9.1)."""

from __future__ import annotations

from collections.abc import Callable

from b2scvr.types import SpliceError

_MAX_UE_ZEROS = 32  # longest prefix of an Exp-Golomb code that H.264 allows


class BitReader:
    """Reads an RBSP from its first bit on. Raises SpliceError when the bits run out."""

    def __init__(self, rbsp: bytes) -> None:
        self._value = int.from_bytes(rbsp, "big")
        self._length = 8 * len(rbsp)
        self.position = 0  # bits read so far

    def u(self, count: int) -> int:
        """Return `count` bits as an unsigned number."""
        left = self._length - self.position - count
        if left < 0:
            raise SpliceError(f"the syntax ends early, after {self._length} bits")
        self.position += count
        return self._value >> left & (1 << count) - 1

    def flag(self) -> bool:
        """Return one bit."""
        return bool(self.u(1))

    def ue(self) -> int:
        """Return an unsigned Exp-Golomb code (9.1)."""
        left = self._length - self.position
        zeros = left - (self._value & (1 << left) - 1).bit_length()
        if zeros > _MAX_UE_ZEROS:
            raise SpliceError(f"no Exp-Golomb code at bit {self.position + _MAX_UE_ZEROS + 1} (H.264 9.1)")
        self.u(zeros + 1)
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        """Return a signed Exp-Golomb code (9.1.1)."""
        code = self.ue()
        return (code + 1) // 2 if code % 2 else -(code // 2)

    def bits_since(self, position: int) -> str:
        """Return the bits from `position` up to here as a string of 0 and 1."""
        count = self.position - position
        value = self._value >> (self._length - self.position) & (1 << count) - 1
        return f"{value:0{count}b}" if count else ""

    def more_rbsp_data(self) -> bool:
        """Whether anything stands before the rbsp_trailing_bits (7.2)."""
        rest = self._value & (1 << self._length - self.position) - 1
        return rest & (rest - 1) != 0  # more than the one rbsp_stop_one_bit is set


Reader = Callable[[bytes], BitReader]  # what parsers open an RBSP with: a subclass can tell where each number stands


class BitWriter:
    """Collects bits, first one first."""

    def __init__(self) -> None:
        self._bits: list[str] = []
        self.length = 0  # bits written so far

    def u(self, value: int, count: int) -> None:
        """Write `count` bits of an unsigned number. Raises ValueError when it does not fit."""
        if value < 0 or value >> count:
            raise ValueError(f"{value} does not fit into {count} bits")
        if count:
            self.bits(f"{value:0{count}b}")

    def ue(self, value: int) -> None:
        """Write an unsigned Exp-Golomb code (9.1)."""
        code = f"{value + 1:b}"
        self.bits("0" * (len(code) - 1) + code)

    def se(self, value: int) -> None:
        """Write a signed Exp-Golomb code (9.1.1)."""
        self.ue(2 * value - 1 if value > 0 else -2 * value)

    def bits(self, bits: str) -> None:
        """Write a string of 0 and 1."""
        self._bits.append(bits)
        self.length += len(bits)

    def align(self, bit: str) -> None:
        """Fill up the last byte with `bit`."""
        self.bits(bit * (-self.length % 8))

    def bit_string(self) -> str:
        """Return the bits as a string of 0 and 1."""
        return "".join(self._bits)

    def to_bytes(self) -> bytes:
        """Return the bytes. Raises ValueError when the last byte is not full."""
        if self.length % 8:
            raise ValueError(f"{self.length} bits are no whole number of bytes")
        return int(self.bit_string() or "0", 2).to_bytes(self.length // 8, "big")


def limited(value: int, largest: int, name: str) -> int:
    """Return `value`; SpliceError naming the syntax element when H.264 does not allow it to be so large."""
    if value > largest:
        raise SpliceError(f"{name} {value} is larger than H.264 allows ({largest})")
    return value


def between(value: int, least: int, largest: int, name: str) -> int:
    """Return `value`; SpliceError naming the syntax element when it lies outside of what H.264 allows."""
    if value < least:
        raise SpliceError(f"{name} {value} is smaller than H.264 allows ({least})")
    return limited(value, largest, name)
