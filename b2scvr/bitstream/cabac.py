"""Arithmetic coding of H.264 (9.3): the encoder, and how its contexts start."""

from __future__ import annotations

from b2scvr.bitstream.bits import BitWriter

_LARGEST_MODEL = 62  # pStateIdx stays there, 9.3.4.2

# rangeTabLPS by pStateIdx and qCodIRangeIdx, table 9-44.
_RANGE_LPS = (
    (128, 176, 208, 240), (128, 167, 197, 227), (128, 158, 187, 216), (123, 150, 178, 205), (116, 142, 169, 195),
    (111, 135, 160, 185), (105, 128, 152, 175), (100, 122, 144, 166), (95, 116, 137, 158), (90, 110, 130, 150),
    (85, 104, 123, 142), (81, 99, 117, 135), (77, 94, 111, 128), (73, 89, 105, 122), (69, 85, 100, 116),
    (66, 80, 95, 110), (62, 76, 90, 104), (59, 72, 86, 99), (56, 69, 81, 94), (53, 65, 77, 89),
    (51, 62, 73, 85), (48, 59, 69, 80), (46, 56, 66, 76), (43, 53, 63, 72), (41, 50, 59, 69),
    (39, 48, 56, 65), (37, 45, 54, 62), (35, 43, 51, 59), (33, 41, 48, 56), (32, 39, 46, 53),
    (30, 37, 43, 50), (29, 35, 41, 48), (27, 33, 39, 45), (26, 31, 37, 43), (24, 30, 35, 41),
    (23, 28, 33, 39), (22, 27, 32, 37), (21, 26, 30, 35), (20, 24, 29, 33), (19, 23, 27, 31),
    (18, 22, 26, 30), (17, 21, 25, 28), (16, 20, 23, 27), (15, 19, 22, 25), (14, 18, 21, 24),
    (14, 17, 20, 23), (13, 16, 19, 22), (12, 15, 18, 21), (12, 14, 17, 20), (11, 14, 16, 19),
    (11, 13, 15, 18), (10, 12, 15, 17), (10, 12, 14, 16), (9, 11, 13, 15), (9, 11, 12, 14),
    (8, 10, 12, 14), (8, 9, 11, 13), (7, 9, 11, 12), (7, 9, 10, 12), (7, 8, 10, 11),
    (6, 8, 9, 11), (6, 7, 9, 10), (6, 7, 8, 9), (2, 2, 2, 2),
)  # fmt: skip

# transIdxLPS by pStateIdx, table 9-45.
_NEXT_LPS = (
    0, 0, 1, 2, 2, 4, 4, 5, 6, 7, 8, 9, 9, 11, 11, 12, 13, 13, 15, 15, 16, 16, 18, 18, 19, 19, 21, 21, 22, 22, 23, 24,
    24, 25, 26, 26, 27, 27, 28, 29, 29, 30, 30, 30, 31, 32, 32, 33, 33, 33, 34, 34, 35, 35, 35, 36, 36, 36, 37, 37, 37, 38,
    38, 63,
)  # fmt: skip


def initial_context(m: int, n: int, slice_qp: int) -> tuple[int, int]:
    """Return pStateIdx and valMPS of a context at the start of a slice (9.3.1.1)."""
    state = min(max((m * min(max(slice_qp, 0), 51) >> 4) + n, 1), 126)
    return (63 - state, 0) if state <= 63 else (state - 64, 1)


class Encoder:
    """Arithmetic encoder (9.3.4), from its initialisation to its flush; contexts are (pStateIdx, valMPS)."""

    def __init__(self) -> None:
        self._low, self._range = 0, 510
        self._first, self._outstanding = True, 0
        self._bits = BitWriter()

    def decision(self, value: int, context: tuple[int, int]) -> tuple[int, int]:
        """Code one bin with a context; return the context afterwards (9.3.4.2)."""
        state, most_probable = context
        smaller = _RANGE_LPS[state][self._range >> 6 & 3]
        self._range -= smaller
        if value == most_probable:
            context = (min(state + 1, _LARGEST_MODEL), most_probable)
        else:
            self._low += self._range
            self._range = smaller
            context = (_NEXT_LPS[state], 1 - most_probable if state == 0 else most_probable)
        self._renormalise()
        return context

    def terminate(self, value: int) -> None:
        """Code one bin before a possible end of the arithmetic code; 1 flushes it (9.3.4.5)."""
        self._range -= 2
        if value:
            self._low += self._range
            self._range = 2
            self._renormalise()
            self._put(self._low >> 9 & 1)
            self._bits.u(self._low >> 7 & 3 | 1, 2)
        else:
            self._renormalise()

    def to_bytes(self) -> bytes:
        """Return what was coded, filled up with zero bits (pcm_alignment_zero_bit or rbsp_alignment_zero_bit)."""
        self._bits.align("0")
        return self._bits.to_bytes()

    def _renormalise(self) -> None:
        """RenormE, figure 9-9."""
        while self._range < 256:
            if self._low < 256:
                self._put(0)
            elif self._low >= 512:
                self._low -= 512
                self._put(1)
            else:
                self._low -= 256
                self._outstanding += 1
            self._range <<= 1
            self._low <<= 1

    def _put(self, bit: int) -> None:
        """PutBit, figure 9-10."""
        if self._first:
            self._first = False
        else:
            self._bits.bits(str(bit))
        if self._outstanding:
            self._bits.bits(str(1 - bit) * self._outstanding)
            self._outstanding = 0
