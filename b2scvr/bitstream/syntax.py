"""Sequence and picture parameter sets and slice headers of H.264 (7.3.2.1, 7.3.2.2, 7.3.3)."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from b2scvr.bitstream.bits import BitReader, Reader
from b2scvr.bitstream.nal import NalType, scan, unescape
from b2scvr.types import MB_SIZE, SpliceError

logger = logging.getLogger(__name__)

MAX_HEADER_BYTES = 2048  # the longest possible slice header takes about 1,100
_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})  # 7.3.2.1.1
_EXTENDED_SAR = 255  # table E-1
_MAX_MACROBLOCKS = 1 << 18  # more than twice the largest MaxFS of table A-1
_P, _B, _I, _SP, _SI = range(5)  # slice_type modulo 5, table 7-6


@dataclass(frozen=True)
class Sps:
    """Sequence parameter set (7.4.2.1); names of the standard, sizes in macroblocks, cropping in luma samples."""

    id: int
    profile_idc: int
    constraint_flags: int  # constraint_set0..5_flag and two zero bits
    level_idc: int
    chroma_format_idc: int
    separate_colour_planes: bool
    bit_depth_luma: int
    bit_depth_chroma: int
    log2_max_frame_num: int
    poc_type: int
    log2_max_poc_lsb: int
    delta_pic_order_always_zero: bool
    offset_for_non_ref_pic: int
    offset_for_top_to_bottom_field: int
    offsets_for_ref_frame: tuple[int, ...]
    max_num_ref_frames: int
    gaps_in_frame_num_allowed: bool
    width_mbs: int
    height_map_units: int
    frame_mbs_only: bool
    direct_8x8_inference: bool
    crop: tuple[int, int, int, int]  # left, right, top, bottom
    matrix_coefficients: int = 2  # table E-5; 2 = unspecified
    full_range: bool = False
    height_bit: int = 0  # where pic_height_in_map_units_minus1 stands in the RBSP
    mb_adaptive_frame_field: bool = False  # frames are coded in pairs of macroblocks, each a frame or a field pair (MBAFF)

    @property
    def chroma_scale(self) -> tuple[int, int]:
        """SubHeightC and SubWidthC (table 6-1): luma samples for one of chroma, down and across."""
        return 2 if self.chroma_format_idc == 1 else 1, 2 if self.chroma_format_idc in (1, 2) else 1

    @property
    def height_mbs(self) -> int:
        """FrameHeightInMbs (equation 7-18)."""
        return self.height_map_units * (1 if self.frame_mbs_only else 2)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width that are shown, in luma samples."""
        left, right, top, bottom = self.crop
        return self.height_mbs * MB_SIZE - top - bottom, self.width_mbs * MB_SIZE - left - right


@dataclass(frozen=True)
class Pps:
    """Picture parameter set (7.4.2.2)."""

    id: int
    sps_id: int
    cabac: bool  # entropy_coding_mode_flag
    bottom_field_pic_order_in_frame_present: bool
    num_slice_groups: int
    slice_group_change_bits: int  # length of slice_group_change_cycle, 0 where it is not sent
    num_ref_idx_active: tuple[int, int]  # of list 0 and 1, unless the slice header says otherwise
    weighted_pred: bool
    weighted_bipred_idc: int
    pic_init_qp: int
    deblocking_filter_control_present: bool
    redundant_pic_cnt_present: bool
    transform_8x8_mode: bool
    weighting_bit: int  # where weighted_pred_flag and the two bits of weighted_bipred_idc stand in the RBSP


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

    @property
    def kind(self) -> int:
        """slice_type modulo 5: 0 P, 1 B, 2 I, 3 SP, 4 SI (table 7-6)."""
        return self.slice_type % 5


class ParameterSets:
    """The parameter sets that a stream has sent so far, by id."""

    def __init__(self) -> None:
        self.sps: dict[int, Sps] = {}
        self.pps: dict[int, Pps] = {}

    def update(self, access_unit: bytes) -> None:
        """Take over the parameter sets in a piece of Annex-B stream; the last good one stays where one is garbage."""
        for nal in scan(access_unit):
            if nal.type not in (NalType.SPS, NalType.PPS):
                continue
            rbsp = unescape(access_unit[nal.payload + 1 : nal.end])
            try:
                if nal.type == NalType.SPS:
                    sps = parse_sps(rbsp)
                    self.sps[sps.id] = sps
                else:
                    pps = parse_pps(rbsp, self.sps)
                    self.pps[pps.id] = pps
            except SpliceError as error:
                logger.warning("a parameter set was ignored: %s", error)

    def of_slice(self, pps_id: int) -> tuple[Sps, Pps]:
        """Return the parameter sets that a slice with this pic_parameter_set_id uses. Raises SpliceError without them."""
        pps = self.pps.get(pps_id)
        sps = self.sps.get(pps.sps_id) if pps else None
        if pps is None or sps is None:
            raise SpliceError(f"the slice refers to parameter set {pps_id}, which was not received (H.264 7.4.3)")
        return sps, pps


def parse_sps(rbsp: bytes, reader: Reader = BitReader) -> Sps:
    """Return the sequence parameter set in an RBSP (without the NAL header byte). Raises SpliceError on garbage."""
    bits = reader(rbsp)
    profile, constraints, level = bits.u(8), bits.u(8), bits.u(8)
    set_id = _limited(bits.ue(), 31, "seq_parameter_set_id")
    chroma, separate, depth_luma, depth_chroma = 1, False, 8, 8
    if profile in _HIGH_PROFILES:
        chroma = _limited(bits.ue(), 3, "chroma_format_idc")
        separate = chroma == 3 and bits.flag()
        depth_luma = 8 + _limited(bits.ue(), 6, "bit_depth_luma_minus8")
        depth_chroma = 8 + _limited(bits.ue(), 6, "bit_depth_chroma_minus8")
        bits.flag()  # qpprime_y_zero_transform_bypass_flag
        if bits.flag():
            _skip_scaling_matrix(bits, 12 if chroma == 3 else 8)
    log2_max_frame_num = 4 + _limited(bits.ue(), 12, "log2_max_frame_num_minus4")
    poc_type = _limited(bits.ue(), 2, "pic_order_cnt_type")
    log2_max_poc_lsb, always_zero, non_ref, top_to_bottom = 0, False, 0, 0
    cycle: tuple[int, ...] = ()
    if poc_type == 0:
        log2_max_poc_lsb = 4 + _limited(bits.ue(), 12, "log2_max_pic_order_cnt_lsb_minus4")
    elif poc_type == 1:
        always_zero, non_ref, top_to_bottom = bits.flag(), bits.se(), bits.se()
        count = _limited(bits.ue(), 255, "num_ref_frames_in_pic_order_cnt_cycle")
        cycle = tuple(bits.se() for _ in range(count))
    max_refs, gaps = _limited(bits.ue(), 16, "max_num_ref_frames"), bits.flag()
    width, height_bit = bits.ue() + 1, bits.position
    height, frame_mbs_only = bits.ue() + 1, bits.flag()
    _limited(width * height, _MAX_MACROBLOCKS, "PicSizeInMapUnits")
    mbaff = not frame_mbs_only and bits.flag()
    direct_8x8 = bits.flag()
    unit_x = 2 if chroma in (1, 2) and not separate else 1  # CropUnitX and CropUnitY, equations 7-19 to 7-22
    unit_y = (2 if chroma == 1 else 1) * (1 if frame_mbs_only else 2)
    crop = (0, 0, 0, 0)
    if bits.flag():
        crop = (bits.ue() * unit_x, bits.ue() * unit_x, bits.ue() * unit_y, bits.ue() * unit_y)
    matrix, full_range = _parse_vui(bits) if bits.flag() else (2, False)
    sps = Sps(
        set_id, profile, constraints, level, chroma, separate, depth_luma, depth_chroma, log2_max_frame_num,
        poc_type, log2_max_poc_lsb, always_zero, non_ref, top_to_bottom, cycle, max_refs, gaps,
        width, height, frame_mbs_only, direct_8x8, crop, matrix, full_range, height_bit, mbaff,
    )  # fmt: skip
    if min(sps.size) < 1:
        raise SpliceError(
            f"nothing is left of the picture after cropping: {sps.size[1]}x{sps.size[0]} (H.264 7.4.2.1.1)"
        )
    return sps


def _parse_vui(bits: BitReader) -> tuple[int, bool]:
    """Return matrix_coefficients and video_full_range_flag, which stand near the start of the VUI (E.1.1)."""
    matrix, full_range = 2, False
    if bits.flag() and bits.u(8) == _EXTENDED_SAR:
        bits.u(32)  # sar_width, sar_height
    if bits.flag():
        bits.flag()  # overscan_appropriate_flag
    if bits.flag():
        bits.u(3)  # video_format
        full_range = bits.flag()
        if bits.flag():
            bits.u(16)  # colour_primaries, transfer_characteristics
            matrix = bits.u(8)
    return matrix, full_range


def parse_pps(rbsp: bytes, sps_by_id: dict[int, Sps], reader: Reader = BitReader) -> Pps:
    """Return the picture parameter set in an RBSP (without the NAL header byte).

    Raises SpliceError on garbage, or when its sequence parameter set is not in `sps_by_id`.
    """
    bits = reader(rbsp)
    set_id = _limited(bits.ue(), 255, "pic_parameter_set_id")
    sps_id = _limited(bits.ue(), 31, "seq_parameter_set_id")
    if sps_id not in sps_by_id:
        raise SpliceError(f"PPS {set_id} refers to SPS {sps_id}, which was not received (H.264 7.4.2.2)")
    sps = sps_by_id[sps_id]
    cabac, bottom_field_order = bits.flag(), bits.flag()
    groups = 1 + _limited(bits.ue(), 7, "num_slice_groups_minus1")
    change_bits = _parse_slice_groups(bits, groups, sps.width_mbs * sps.height_map_units) if groups > 1 else 0
    active = (1 + _limited(bits.ue(), 31, "num_ref_idx_l0"), 1 + _limited(bits.ue(), 31, "num_ref_idx_l1"))
    weighting_bit = bits.position
    weighted, bipred = bits.flag(), _limited(bits.u(2), 2, "weighted_bipred_idc")
    init_qp = 26 + bits.se()
    bits.se()  # pic_init_qs_minus26
    bits.se()  # chroma_qp_index_offset
    deblocking_control = bits.flag()
    bits.flag()  # constrained_intra_pred_flag
    redundant = bits.flag()
    transform_8x8 = False
    if bits.more_rbsp_data():
        transform_8x8 = bits.flag()
        if bits.flag():
            chroma_lists = 6 if sps.chroma_format_idc == 3 else 2
            _skip_scaling_matrix(bits, 6 + chroma_lists * transform_8x8)
        bits.se()  # second_chroma_qp_index_offset
    return Pps(
        set_id, sps_id, cabac, bottom_field_order, groups, change_bits, active, weighted, bipred, init_qp,
        deblocking_control, redundant, transform_8x8, weighting_bit,
    )  # fmt: skip


def _parse_slice_groups(bits: BitReader, groups: int, map_units: int) -> int:
    """Read over the slice group map; return the length of slice_group_change_cycle in bits (equation in 7.4.3)."""
    kind = _limited(bits.ue(), 6, "slice_group_map_type")
    if kind == 0:
        for _ in range(groups):
            bits.ue()  # run_length_minus1
    elif kind == 2:
        for _ in range(2 * (groups - 1)):
            bits.ue()  # top_left, bottom_right
    elif kind in (3, 4, 5):
        bits.flag()  # slice_group_change_direction_flag
        rate = bits.ue() + 1
        return (-(-map_units // rate)).bit_length()  # Ceil(Log2(PicSizeInMapUnits / rate + 1))
    elif kind == 6:
        count = _limited(bits.ue() + 1, map_units, "pic_size_in_map_units")
        bits.u(count * (groups - 1).bit_length())  # slice_group_id
    return 0


def _skip_scaling_matrix(bits: BitReader, lists: int) -> None:
    """Read over scaling lists (7.3.2.1.1.1): the first six are of 16 numbers, the others of 64."""
    for index in range(lists):
        if not bits.flag():
            continue
        last = following = 8
        for _ in range(16 if index < 6 else 64):
            if following:
                following = (last + bits.se()) % 256
            last = following or last


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
    first_mb, slice_type = bits.ue(), _limited(bits.ue(), 9, "slice_type")
    pps_id = _limited(bits.ue(), 255, "pic_parameter_set_id")
    sps, pps = sets.of_slice(pps_id)
    _limited(first_mb, sps.width_mbs * sps.height_mbs - 1, "first_mb_in_slice")
    if sps.separate_colour_planes:
        bits.u(2)  # colour_plane_id
    frame_num = bits.u(sps.log2_max_frame_num)
    field_pic = not sps.frame_mbs_only and bits.flag()
    bottom_field = field_pic and bits.flag()
    idr_pic_id = _limited(bits.ue(), 65535, "idr_pic_id") if is_idr else 0
    poc_lsb, delta_bottom, delta_poc = _parse_poc(bits, sps, pps, field_pic)
    redundant = _limited(bits.ue(), 127, "redundant_pic_cnt") if pps.redundant_pic_cnt_present else 0
    spatial = slice_type % 5 == _B and bits.flag()
    active, modifications = _parse_reference_lists(bits, slice_type % 5, pps)
    weights = bits.position
    if (pps.weighted_bipred_idc == 1) if slice_type % 5 == _B else (pps.weighted_pred and active):
        _skip_weights(bits, active, sps.chroma_format_idc != 0 and not sps.separate_colour_planes)
    start = bits.position
    long_term, operations = _parse_marking(bits, is_idr) if ref_idc else (False, ())
    marking = bits.bits_since(start)
    if pps.cabac and slice_type % 5 not in (_I, _SI):
        _limited(bits.ue(), 2, "cabac_init_idc")
    qp_delta = bits.se()
    if slice_type % 5 in (_SP, _SI):
        bits.u(1 if slice_type % 5 == _SP else 0)  # sp_for_switch_flag
        bits.se()  # slice_qs_delta
    deblocking = 0
    if pps.deblocking_filter_control_present:
        deblocking = _limited(bits.ue(), 2, "disable_deblocking_filter_idc")
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
        active = tuple(1 + _limited(bits.ue(), 31, "num_ref_idx_active_minus1") for _ in range(lists))
    modifications = []
    for _ in range(lists):
        found = []
        if bits.flag():  # ref_pic_list_modification_flag
            while (operation := _limited(bits.ue(), 3, "modification_of_pic_nums_idc")) != 3:
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
        while operation := _limited(bits.ue(), 6, "memory_management_control_operation"):
            operations.append((operation, *(bits.ue() for _ in range({3: 2, 5: 0}.get(operation, 1)))))
    return False, tuple(operations)


def _limited(value: int, largest: int, name: str) -> int:
    if value > largest:
        raise SpliceError(f"{name} {value} is larger than H.264 allows ({largest})")
    return value
