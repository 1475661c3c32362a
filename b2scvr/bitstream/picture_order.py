"""Picture order counts: in which order the pictures of an H.264 stream are shown (8.2.1)."""

from __future__ import annotations

from b2scvr.bitstream.slice_header import SliceHeader
from b2scvr.bitstream.syntax import ParameterSets, Sps


class PocCounter:
    """Counts picture order for one picture after the other, in decoding order."""

    def __init__(self, sets: ParameterSets) -> None:
        self._sets = sets
        self._msb, self._lsb = 0, 0  # prevPicOrderCntMsb and prevPicOrderCntLsb
        self._frame_num, self._frame_num_offset = 0, 0  # of the previous picture

    def next(self, header: SliceHeader) -> int:
        """Return PicOrderCnt (8.2.1) of the next picture; `header` is of one of its slices.

        Counts are comparable between two pictures after which all references are dropped (IDR, or operation 5 of
        dec_ref_pic_marking). Raises SpliceError when the parameter sets of the slice are missing.
        """
        sps, _ = self._sets.of_slice(header.pps_id)
        is_reference = header.nal_ref_idc > 0
        if sps.poc_type == 0:
            top, bottom = self._by_lsb(header, sps, is_reference)
        else:
            top, bottom = self._by_frame_num(header, sps, is_reference)
        if header.field_pic:
            return bottom if header.bottom_field else top
        return min(top, bottom)

    def _by_lsb(self, header: SliceHeader, sps: Sps, is_reference: bool) -> tuple[int, int]:
        """Type 0 (8.2.1.1): the low bits are sent."""
        if header.is_idr:
            self._msb, self._lsb = 0, 0
        period = 1 << sps.log2_max_poc_lsb
        msb, lsb = self._msb, header.poc_lsb
        if lsb < self._lsb and self._lsb - lsb >= period // 2:
            msb += period
        elif lsb > self._lsb and lsb - self._lsb > period // 2:
            msb -= period
        top = msb + lsb
        bottom = top + header.delta_poc_bottom
        if header.resets_references:
            # What follows counts from this picture, whose count becomes 0 after decoding (8.2.1).
            self._msb = 0
            self._lsb = 0 if header.bottom_field else top - (top if header.field_pic else min(top, bottom))
        elif is_reference:
            self._msb, self._lsb = msb, lsb
        return top, bottom

    def _by_frame_num(self, header: SliceHeader, sps: Sps, is_reference: bool) -> tuple[int, int]:
        """Types 1 (8.2.1.2) and 2 (8.2.1.3): derived from frame_num."""
        offset = self._frame_num_offset
        if header.is_idr:
            offset = 0
        elif self._frame_num > header.frame_num:
            offset += 1 << sps.log2_max_frame_num
        self._frame_num, self._frame_num_offset = header.frame_num, offset
        if header.resets_references:
            self._frame_num, self._frame_num_offset = 0, 0
        number = offset + header.frame_num
        if sps.poc_type == 2:
            count = 0 if header.is_idr else 2 * number - (not is_reference)
            return count, count
        expected = _expected_count(sps, number, is_reference)
        top = expected + header.delta_poc[0]
        if header.field_pic:
            return top, top + sps.offset_for_top_to_bottom_field
        return top, top + sps.offset_for_top_to_bottom_field + header.delta_poc[1]


def _expected_count(sps: Sps, number: int, is_reference: bool) -> int:
    """Return expectedPicOrderCnt (equations 8-6 to 8-9); `number` is FrameNumOffset + frame_num."""
    cycle = sps.offsets_for_ref_frame
    absolute = number if cycle else 0
    if not is_reference and absolute > 0:
        absolute -= 1
    expected = 0 if is_reference else sps.offset_for_non_ref_pic
    if absolute > 0:
        cycles, position = divmod(absolute - 1, len(cycle))
        expected += cycles * sum(cycle) + sum(cycle[: position + 1])
    return expected
