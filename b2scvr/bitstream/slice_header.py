"""Slice headers of H.264 (7.3.3)."""

from __future__ import annotations

from dataclasses import dataclass

from b2scvr.bitstream.bits import BitReader, BitWriter, Reader, between, limited
from b2scvr.bitstream.nal import START_CODE, NalType, NalUnit, escape, unescape
from b2scvr.bitstream.syntax import MAX_QP, ParameterSets, Pps, Sps
from b2scvr.types import SpliceError

MAX_HEADER_BYTES = 2048  # the longest possible slice header takes about 1,100
_P, _B, _I, _SP, _SI = range(5)  # slice_type modulo 5, table 7-6
_SLICE_TYPES = 10
_START_BYTES = 12  # enough for the first two numbers of a slice header
_MOST_MACROBLOCKS = 1 << 20


@dataclass(frozen=True)
class SliceHeader:
    """Slice header (7.4.3); of the weight table only where it stands."""

    nal_ref_idc: int
    is_idr: bool
    first_mb: int
    slice_type: int  # 0..9, table 7-6
    pps_id: int
    frame_num: int
    field_pic: bool
    bottom_field: bool
    idr_pic_id: int
    poc_lsb: int
    delta_poc_bottom: int
    delta_poc: tuple[int, int]
    redundant_pic_cnt: int
    direct_spatial_mv_pred: (
        bool  # of a B slice; False: temporal direct prediction, from the co-located picture's vectors
    )
    num_ref_idx_active: tuple[int, ...]  # entries of each list: none in an I slice, one list in P, two in B
    list_modifications: tuple[tuple[tuple[int, int], ...], ...]  # of each list: (modification_of_pic_nums_idc, value)
    weight_table: tuple[int, int]  # first bit of pred_weight_table in the RBSP and the one behind; equal where none is
    marking: str  # dec_ref_pic_marking as sent, a string of 0 and 1; empty for a non-reference picture
    long_term_reference: bool  # long_term_reference_flag of an IDR picture
    marking_operations: tuple[tuple[int, ...], ...]  # memory_management_control_operation and its numbers (7.4.3.3)
    slice_qp_delta: int
    disable_deblocking_filter_idc: int
    header_bits: int  # length of slice_header in the RBSP, in bits, the NAL header not counted

    @property
    def resets_references(self) -> bool:
        """Whether memory_management_control_operation 5 drops all references."""
        return any(operation[0] == 5 for operation in self.marking_operations)

    def reference_frame_num(self, period: int) -> int:
        """Return PrevRefFrameNum after this picture (7.4.3); period: MaxFrameNum."""
        if self.resets_references:
            return 0
        return self.frame_num if self.nal_ref_idc else (self.frame_num - 1) % period

    @property
    def kind(self) -> int:
        """slice_type modulo 5: 0 P, 1 B, 2 I, 3 SP, 4 SI (table 7-6)."""
        return self.slice_type % 5

    @property
    def picture(self) -> tuple[object, ...]:
        """What all slices of one picture have in common (7.4.1.2.4)."""
        return (
            self.frame_num, self.pps_id, self.field_pic, self.bottom_field, self.nal_ref_idc == 0, self.is_idr,
            self.idr_pic_id, self.poc_lsb, self.delta_poc_bottom, self.delta_poc,
        )  # fmt: skip


def slice_start(unit: bytes, nal: NalUnit) -> tuple[int, int]:
    """Return first_mb_in_slice and slice_type of a slice in `unit`, (-1, -1) when they are garbage. Needs no parameter sets."""
    bits = BitReader(unescape(unit[nal.payload + 1 : min(nal.end, nal.payload + _START_BYTES)]))
    try:
        first, kind = bits.ue(), bits.ue()
    except SpliceError:
        return -1, -1
    return (first, kind) if first < _MOST_MACROBLOCKS and kind < _SLICE_TYPES else (-1, -1)


def parse_slice_header(nal: bytes, sets: ParameterSets, reader: Reader = BitReader) -> SliceHeader:
    """Return the header of a slice; `nal` is its NAL unit from the NAL header byte on (escaped; its start will do).

    Raises SpliceError on garbage, or when a parameter set is missing.
    """
    if not nal:
        raise SpliceError("an empty NAL unit holds no slice header")
    nal_type = nal[0] & 0x1F
    if nal_type not in (NalType.SLICE, NalType.IDR):
        raise SpliceError(f"NAL unit type {nal_type} holds no slice of a primary picture (H.264 table 7-1)")
    try:
        return _parse_header(nal[: MAX_HEADER_BYTES // 16], sets, reader)  # short numbers are quicker to read
    except SpliceError:
        return _parse_header(nal[:MAX_HEADER_BYTES], sets, reader)


def _parse_header(nal: bytes, sets: ParameterSets, reader: Reader) -> SliceHeader:
    ref_idc, is_idr = nal[0] >> 5 & 3, nal[0] & 0x1F == NalType.IDR
    bits = reader(unescape(nal[1:]))
    first_mb, slice_type = bits.ue(), limited(bits.ue(), 9, "slice_type")
    pps_id = limited(bits.ue(), 255, "pic_parameter_set_id")
    sps, pps = sets.of_slice(pps_id)
    limited(first_mb, sps.width_mbs * sps.height_mbs - 1, "first_mb_in_slice")
    if sps.separate_colour_planes:
        bits.u(2)  # colour_plane_id
    frame_num = bits.u(sps.log2_max_frame_num)
    field_pic = not sps.frame_mbs_only and bits.flag()
    bottom_field = field_pic and bits.flag()
    idr_pic_id = limited(bits.ue(), 65535, "idr_pic_id") if is_idr else 0
    poc_lsb, delta_bottom, delta_poc = _parse_poc(bits, sps, pps, field_pic)
    redundant = limited(bits.ue(), 127, "redundant_pic_cnt") if pps.redundant_pic_cnt_present else 0
    spatial = slice_type % 5 == _B and bits.flag()
    active, modifications = _parse_reference_lists(bits, slice_type % 5, pps)
    weights = bits.position
    if (pps.weighted_bipred_idc == 1) if slice_type % 5 == _B else (pps.weighted_pred and active):
        _skip_weights(bits, active, sps.chroma_format_idc != 0 and not sps.separate_colour_planes)
    start = bits.position
    long_term, operations = _parse_marking(bits, is_idr) if ref_idc else (False, ())
    marking = bits.bits_since(start)
    if pps.cabac and slice_type % 5 not in (_I, _SI):
        limited(bits.ue(), 2, "cabac_init_idc")
    qp_delta = bits.se()
    between(pps.pic_init_qp + qp_delta, -sps.qp_offset, MAX_QP, "SliceQP_Y")
    if slice_type % 5 in (_SP, _SI):
        bits.u(1 if slice_type % 5 == _SP else 0)  # sp_for_switch_flag
        bits.se()  # slice_qs_delta
    deblocking = 0
    if pps.deblocking_filter_control_present:
        deblocking = limited(bits.ue(), 2, "disable_deblocking_filter_idc")
        if deblocking != 1:
            bits.se()  # slice_alpha_c0_offset_div2
            bits.se()  # slice_beta_offset_div2
    bits.u(pps.slice_group_change_bits)
    return SliceHeader(
        ref_idc, is_idr, first_mb, slice_type, pps_id, frame_num, field_pic, bottom_field, idr_pic_id, poc_lsb,
        delta_bottom, delta_poc, redundant, spatial, active, modifications, (weights, start), marking, long_term,
        operations, qp_delta, deblocking, bits.position,
    )  # fmt: skip


def _parse_poc(bits: BitReader, sps: Sps, pps: Pps, field_pic: bool) -> tuple[int, int, tuple[int, int]]:
    """Return pic_order_cnt_lsb, delta_pic_order_cnt_bottom and delta_pic_order_cnt."""
    both_fields = pps.bottom_field_pic_order_in_frame_present and not field_pic
    lsb, delta_bottom, first, second = 0, 0, 0, 0
    if sps.poc_type == 0:
        lsb = bits.u(sps.log2_max_poc_lsb)
        delta_bottom = bits.se() if both_fields else 0
    elif sps.poc_type == 1 and not sps.delta_pic_order_always_zero:
        first = bits.se()
        second = bits.se() if both_fields else 0
    return lsb, delta_bottom, (first, second)


def _parse_reference_lists(
    bits: BitReader, kind: int, pps: Pps
) -> tuple[tuple[int, ...], tuple[tuple[tuple[int, int], ...], ...]]:
    """Return the number of entries and the modifications of each list (7.3.3, 7.3.3.1)."""
    if kind in (_I, _SI):
        return (), ()
    lists = 2 if kind == _B else 1
    active = pps.num_ref_idx_active[:lists]
    if bits.flag():  # num_ref_idx_active_override_flag
        active = tuple(1 + limited(bits.ue(), 31, "num_ref_idx_active_minus1") for _ in range(lists))
    modifications = []
    for _ in range(lists):
        found = []
        if bits.flag():  # ref_pic_list_modification_flag
            while (operation := limited(bits.ue(), 3, "modification_of_pic_nums_idc")) != 3:
                found.append((operation, bits.ue()))
        modifications.append(tuple(found))
    return active, tuple(modifications)


def _skip_weights(bits: BitReader, active: tuple[int, ...], has_chroma: bool) -> None:
    for _ in range(1 + has_chroma):
        bits.ue()  # log2_weight_denom
    for count in active:
        for _ in range(count):
            for values in (2, 4)[: 1 + has_chroma]:  # weight and offset of luma, of Cb and Cr
                if bits.flag():
                    for _ in range(values):
                        bits.se()


def _parse_marking(bits: BitReader, is_idr: bool) -> tuple[bool, tuple[tuple[int, ...], ...]]:
    """Read dec_ref_pic_marking (7.3.3.3): long_term_reference_flag, and each operation with its numbers."""
    if is_idr:
        bits.flag()  # no_output_of_prior_pics_flag
        return bits.flag(), ()
    operations = []
    if bits.flag():  # adaptive_ref_pic_marking_mode_flag
        while operation := limited(bits.ue(), 6, "memory_management_control_operation"):
            operations.append((operation, *(bits.ue() for _ in range({3: 2, 5: 0}.get(operation, 1)))))
    return False, tuple(operations)


def write_slice_header(bits: BitWriter, header: SliceHeader, sps: Sps, pps: Pps) -> None:
    """Write the header of an I or P slice: what `parse_slice_header` reads. Deblocking offsets are 0.

    Raises ValueError for a slice with a table of weights, whose contents a SliceHeader does not hold.
    """
    if header.kind not in (_P, _I) or (header.kind == _P and pps.weighted_pred):
        raise ValueError(
            f"write_slice_header: slice_type {header.slice_type} with weights or of another kind than I and P"
        )
    bits.ue(header.first_mb)
    bits.ue(header.slice_type)
    bits.ue(header.pps_id)
    bits.u(header.frame_num, sps.log2_max_frame_num)
    if not sps.frame_mbs_only:
        bits.u(header.field_pic, 1)
        if header.field_pic:
            bits.u(header.bottom_field, 1)
    if header.is_idr:
        bits.ue(header.idr_pic_id)
    _write_poc(bits, header, sps, pps)
    if pps.redundant_pic_cnt_present:
        bits.ue(header.redundant_pic_cnt)
    for count, modifications in zip(header.num_ref_idx_active, header.list_modifications, strict=True):
        bits.u(1, 1)  # num_ref_idx_active_override_flag
        bits.ue(count - 1)
        bits.u(bool(modifications), 1)
        for numbers in [*modifications, (3,)] if modifications else []:
            for number in numbers:
                bits.ue(number)
    bits.bits(header.marking)
    if pps.cabac and header.kind != _I:
        bits.ue(0)  # cabac_init_idc
    bits.se(header.slice_qp_delta)
    if pps.deblocking_filter_control_present:
        bits.ue(header.disable_deblocking_filter_idc)
        if header.disable_deblocking_filter_idc != 1:
            bits.se(0)
            bits.se(0)


def _write_poc(bits: BitWriter, header: SliceHeader, sps: Sps, pps: Pps) -> None:
    both_fields = pps.bottom_field_pic_order_in_frame_present and not header.field_pic
    if sps.poc_type == 0:
        bits.u(header.poc_lsb, sps.log2_max_poc_lsb)
        if both_fields:
            bits.se(header.delta_poc_bottom)
    elif sps.poc_type == 1 and not sps.delta_pic_order_always_zero:
        bits.se(header.delta_poc[0])
        if both_fields:
            bits.se(header.delta_poc[1])


def slice_nal(header: SliceHeader, rbsp: bytes) -> bytes:
    """Return the NAL unit of a slice with its start code; rbsp: header and slice data, with their trailing bits."""
    kind = NalType.IDR if header.is_idr else NalType.SLICE
    return START_CODE + bytes([header.nal_ref_idc << 5 | kind]) + escape(rbsp)


def replace_header(rbsp: bytes, old_bits: int, new: str, cabac: bool) -> bytes:
    """Return the RBSP of a slice with other bits in the place of the first `old_bits`, which are its header's.

    The slice data mean the same: with CABAC whole bytes of them go on behind alignment bits (7.3.4), with CAVLC bit by bit.
    """
    whole = -(-old_bits // 8)
    data = rbsp[whole:]
    bits = BitWriter()
    bits.bits(new)
    if cabac:
        bits.align("1")  # cabac_alignment_one_bit
        return bits.to_bytes() + data
    bits.bits(f"{int.from_bytes(rbsp[:whole], 'big'):0{8 * whole}b}"[old_bits:])
    length = bits.length + 8 * len(data)
    value = int(bits.bit_string() or "0", 2) << 8 * len(data) | int.from_bytes(data, "big")
    padding = -length % 8
    moved = (value << padding).to_bytes((length + padding) // 8, "big")
    return moved.rstrip(b"\x00")  # the trailing zeros of the old alignment (7.3.2.11)
