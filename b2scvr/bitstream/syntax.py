"""Sequence and picture parameter sets of H.264 (7.3.2.1, 7.3.2.2)."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from b2scvr.bitstream.bits import BitReader, Reader, between, limited
from b2scvr.bitstream.nal import NalType, scan, unescape
from b2scvr.types import MB_SIZE, SpliceError

logger = logging.getLogger(__name__)

HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})  # 7.3.2.1.1
MAX_QP = 51  # 7.4.2.2
_MAX_CHROMA_QP_OFFSET = 12  # 7.4.2.2
_EXTENDED_SAR = 255  # table E-1
_MAX_MACROBLOCKS = 1 << 18  # more than twice the largest MaxFS of table A-1


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
    mb_adaptive_frame_field: bool = (
        False  # frames are coded in pairs of macroblocks, each a frame or a field pair (MBAFF)
    )

    @property
    def chroma_scale(self) -> tuple[int, int]:
        """SubHeightC and SubWidthC (table 6-1): luma samples for one of chroma, down and across."""
        return 2 if self.chroma_format_idc == 1 else 1, 2 if self.chroma_format_idc in (1, 2) else 1

    @property
    def height_mbs(self) -> int:
        """FrameHeightInMbs (equation 7-18)."""
        return self.height_map_units * (1 if self.frame_mbs_only else 2)

    @property
    def qp_offset(self) -> int:
        """QpBdOffset_Y: how far below 0 the quantiser may go (equation 7-4)."""
        return 6 * (self.bit_depth_luma - 8)

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
    set_id = limited(bits.ue(), 31, "seq_parameter_set_id")
    chroma, separate, depth_luma, depth_chroma = 1, False, 8, 8
    if profile in HIGH_PROFILES:
        chroma = limited(bits.ue(), 3, "chroma_format_idc")
        separate = chroma == 3 and bits.flag()
        depth_luma = 8 + limited(bits.ue(), 6, "bit_depth_luma_minus8")
        depth_chroma = 8 + limited(bits.ue(), 6, "bit_depth_chroma_minus8")
        bits.flag()  # qpprime_y_zero_transform_bypass_flag
        if bits.flag():
            _skip_scaling_matrix(bits, 12 if chroma == 3 else 8)
    log2_max_frame_num = 4 + limited(bits.ue(), 12, "log2_max_frame_num_minus4")
    poc_type = limited(bits.ue(), 2, "pic_order_cnt_type")
    log2_max_poc_lsb, always_zero, non_ref, top_to_bottom = 0, False, 0, 0
    cycle: tuple[int, ...] = ()
    if poc_type == 0:
        log2_max_poc_lsb = 4 + limited(bits.ue(), 12, "log2_max_pic_order_cnt_lsb_minus4")
    elif poc_type == 1:
        always_zero, non_ref, top_to_bottom = bits.flag(), bits.se(), bits.se()
        count = limited(bits.ue(), 255, "num_ref_frames_in_pic_order_cnt_cycle")
        cycle = tuple(bits.se() for _ in range(count))
    max_refs, gaps = limited(bits.ue(), 16, "max_num_ref_frames"), bits.flag()
    width, height_bit = bits.ue() + 1, bits.position
    height, frame_mbs_only = bits.ue() + 1, bits.flag()
    limited(width * height, _MAX_MACROBLOCKS, "PicSizeInMapUnits")
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
    set_id = limited(bits.ue(), 255, "pic_parameter_set_id")
    sps_id = limited(bits.ue(), 31, "seq_parameter_set_id")
    if sps_id not in sps_by_id:
        raise SpliceError(f"PPS {set_id} refers to SPS {sps_id}, which was not received (H.264 7.4.2.2)")
    sps = sps_by_id[sps_id]
    cabac, bottom_field_order = bits.flag(), bits.flag()
    groups = 1 + limited(bits.ue(), 7, "num_slice_groups_minus1")
    change_bits = _parse_slice_groups(bits, groups, sps.width_mbs * sps.height_map_units) if groups > 1 else 0
    active = (1 + limited(bits.ue(), 31, "num_ref_idx_l0"), 1 + limited(bits.ue(), 31, "num_ref_idx_l1"))
    weighting_bit = bits.position
    weighted, bipred = bits.flag(), limited(bits.u(2), 2, "weighted_bipred_idc")
    init_qp = between(26 + bits.se(), -sps.qp_offset, MAX_QP, "pic_init_qp")
    between(26 + bits.se(), 0, MAX_QP, "pic_init_qs")
    between(bits.se(), -_MAX_CHROMA_QP_OFFSET, _MAX_CHROMA_QP_OFFSET, "chroma_qp_index_offset")
    deblocking_control = bits.flag()
    bits.flag()  # constrained_intra_pred_flag
    redundant = bits.flag()
    transform_8x8 = False
    if bits.more_rbsp_data():
        transform_8x8 = bits.flag()
        if bits.flag():
            chroma_lists = 6 if sps.chroma_format_idc == 3 else 2
            _skip_scaling_matrix(bits, 6 + chroma_lists * transform_8x8)
        between(bits.se(), -_MAX_CHROMA_QP_OFFSET, _MAX_CHROMA_QP_OFFSET, "second_chroma_qp_index_offset")
    return Pps(
        set_id, sps_id, cabac, bottom_field_order, groups, change_bits, active, weighted, bipred, init_qp,
        deblocking_control, redundant, transform_8x8, weighting_bit,
    )  # fmt: skip


def _parse_slice_groups(bits: BitReader, groups: int, map_units: int) -> int:
    """Read over the slice group map; return the length of slice_group_change_cycle in bits (equation in 7.4.3)."""
    kind = limited(bits.ue(), 6, "slice_group_map_type")
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
        count = limited(bits.ue() + 1, map_units, "pic_size_in_map_units")
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
