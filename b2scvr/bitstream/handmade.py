"""H.264 streams written by hand, of I_PCM and skipped macroblocks: for what no encoder at hand makes.

Field pictures, picture order counts of type 1, long-term references, arbitrary slice order: for tests and fuzzing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from b2scvr.bitstream.bits import BitWriter
from b2scvr.bitstream.nal import START_CODE, NalType, escape
from b2scvr.bitstream.pcm import cabac_slice_data, cavlc_slice_data, macroblock_bytes
from b2scvr.bitstream.slice_header import SliceHeader, slice_nal, write_slice_header
from b2scvr.bitstream.syntax import HIGH_PROFILES, Pps, Sps
from b2scvr.types import MB_SIZE, Planes

P, I = 0, 2  # noqa: E741 - slice_type, the standard's own names
SLIDING_WINDOW = "0"  # dec_ref_pic_marking without operations (7.3.3.3)
_IDR_MARKING = "00"
_REFERENCE = 3  # nal_ref_idc
_MAIN, _HIGH_444 = 77, 244  # profile_idc


def sequence(columns: int, rows: int, **changes: Any) -> Sps:
    """Return an SPS for pictures of columns x rows macroblocks: 4:2:0, 8 bits, picture order by frame_num (type 2).

    changes: fields of Sps that are to be otherwise. A field of `rows` counts the macroblocks of the frame.
    """
    plain = Sps(
        id=0, profile_idc=_MAIN, constraint_flags=0, level_idc=40, chroma_format_idc=1, separate_colour_planes=False,
        bit_depth_luma=8, bit_depth_chroma=8, log2_max_frame_num=4, poc_type=2, log2_max_poc_lsb=4,
        delta_pic_order_always_zero=False, offset_for_non_ref_pic=0, offset_for_top_to_bottom_field=0,
        offsets_for_ref_frame=(), max_num_ref_frames=4, gaps_in_frame_num_allowed=False, width_mbs=columns,
        height_map_units=rows if changes.get("frame_mbs_only", True) else rows // 2, frame_mbs_only=True,
        direct_8x8_inference=True, crop=(0, 0, 0, 0),
    )  # fmt: skip
    made = replace(plain, **changes)
    usual = (made.chroma_format_idc, made.bit_depth_luma, made.bit_depth_chroma) == (1, 8, 8)
    return made if usual else replace(made, profile_idc=_HIGH_444)


def picture_set(**changes: Any) -> Pps:
    """Return a PPS: CAVLC, one slice group, deblocking switched by slices. changes: fields of Pps."""
    plain = Pps(
        id=0, sps_id=0, cabac=False, bottom_field_pic_order_in_frame_present=False, num_slice_groups=1,
        slice_group_change_bits=0, num_ref_idx_active=(1, 1), weighted_pred=False, weighted_bipred_idc=0,
        pic_init_qp=26, deblocking_filter_control_present=True, redundant_pic_cnt_present=False,
        transform_8x8_mode=False, weighting_bit=0,
    )  # fmt: skip
    return replace(plain, **changes)


class HandWriter:
    """Writes the NAL units of one stream."""

    def __init__(self, sps: Sps, pps: Pps) -> None:
        self.sps, self.pps = sps, pps

    def parameter_sets(self) -> bytes:
        """Return the SPS and the PPS (7.3.2.1, 7.3.2.2)."""
        return _nal(NalType.SPS, _sps_bits(self.sps)) + _nal(NalType.PPS, _pps_bits(self.pps))

    def header(self, slice_type: int, **changes: Any) -> SliceHeader:
        """Return a slice header of a reference frame, its marking included. changes: fields of SliceHeader."""
        marking = _IDR_MARKING if changes.get("is_idr") else SLIDING_WINDOW
        plain = SliceHeader(
            nal_ref_idc=_REFERENCE, is_idr=False, first_mb=0, slice_type=slice_type, pps_id=self.pps.id, frame_num=0,
            field_pic=False, bottom_field=False, idr_pic_id=0, poc_lsb=0, delta_poc_bottom=0, delta_poc=(0, 0),
            redundant_pic_cnt=0, direct_spatial_mv_pred=False, num_ref_idx_active=(1,) if slice_type == P else (),
            list_modifications=((),) if slice_type == P else (), weight_table=(0, 0),
            marking=marking if changes.get("nal_ref_idc", _REFERENCE) else "", long_term_reference=False,
            marking_operations=(), slice_qp_delta=0, disable_deblocking_filter_idc=1, header_bits=0,
        )  # fmt: skip
        return replace(plain, **changes)

    def pcm(self, planes: Planes, macroblocks: slice = slice(None), **changes: Any) -> bytes:
        """Return an I slice that holds samples. planes: of the whole frame. macroblocks: addresses. changes: of its header."""
        mbaff = self.sps.mb_adaptive_frame_field and not changes.get("field_pic")
        start = macroblocks.start or 0
        header = self.header(I, first_mb=start // (2 if mbaff else 1), **changes)
        if header.field_pic:
            rows = slice(int(header.bottom_field), None, 2)
            planes = Planes(planes.y[rows], planes.u[rows], planes.v[rows])
        samples = macroblock_bytes(planes, self.sps, mbaff)[macroblocks]
        bits = BitWriter()
        write_slice_header(bits, header, self.sps, self.pps)
        if not self.pps.cabac:
            return slice_nal(header, cavlc_slice_data(bits, samples, mbaff))
        columns, qp = self.sps.width_mbs, self.pps.pic_init_qp
        return slice_nal(header, cabac_slice_data(bits, samples, columns, qp, start, mbaff))

    def skip(self, count: int | None = None, **changes: Any) -> bytes:
        """Return a P slice of `count` skipped macroblocks (CAVLC), all of the picture by default: a copy of its reference."""
        header = self.header(P, **changes)
        size = self.sps.width_mbs * self.sps.height_mbs // (2 if header.field_pic else 1)
        bits = BitWriter()
        write_slice_header(bits, header, self.sps, self.pps)
        bits.ue(size if count is None else count)  # mb_skip_run
        return slice_nal(header, _with_trailing_bits(bits))


def marking_of(*operations: tuple[int, ...]) -> str:
    """Return dec_ref_pic_marking of a picture other than IDR with these operations, each with its numbers (7.3.3.3)."""
    bits = BitWriter()
    bits.u(1, 1)  # adaptive_ref_pic_marking_mode_flag
    for number in [number for operation in [*operations, (0,)] for number in operation]:
        bits.ue(number)
    return bits.bit_string()


def field_pictures(frames: list[Planes], writer: HandWriter) -> list[bytes]:
    """Return access units of two field pictures each (PAFF): the first frame as samples, every third one too.

    The others are copies: the top field of the frame before, the bottom field of its own top field.
    """
    units = []
    for number, planes in enumerate(frames):
        sent, is_idr = number % 3 == 0, number == 0
        common: dict[str, Any] = {"field_pic": True, "frame_num": number % (1 << writer.sps.log2_max_frame_num)}
        if sent:
            first = writer.pcm(planes, **common, is_idr=is_idr)
            second = writer.pcm(planes, **common, bottom_field=True)
        else:
            first = writer.skip(**common)
            second = writer.skip(**common, bottom_field=True, list_modifications=(((0, 0),),))
        units.append(first + second)
    units[0] = writer.parameter_sets() + units[0]
    return units


def noise(sps: Sps, seed: int) -> Planes:
    """Return random samples of a frame; of a monochrome one chroma of no colour, in 4:2:0, as decoders put it out."""
    draw = np.random.default_rng(seed)
    height, width = sps.height_mbs * MB_SIZE, sps.width_mbs * MB_SIZE
    down, across = sps.chroma_scale
    if sps.chroma_format_idc == 0:
        grey = np.full((height // 2, width // 2), 1 << sps.bit_depth_luma - 1, _sample_type(sps.bit_depth_luma))
        return Planes(_noise(draw, (height, width), sps.bit_depth_luma), grey, grey.copy())
    chroma = [_noise(draw, (height // down, width // across), sps.bit_depth_chroma) for _ in range(2)]
    return Planes(_noise(draw, (height, width), sps.bit_depth_luma), chroma[0], chroma[1])


def _noise(draw: np.random.Generator, shape: tuple[int, int], depth: int) -> np.ndarray:
    return draw.integers(0, 1 << depth, shape).astype(_sample_type(depth))


def _sample_type(depth: int) -> np.dtype:
    return np.dtype(np.uint8 if depth == 8 else np.uint16)


def _sps_bits(sps: Sps) -> BitWriter:
    bits = BitWriter()
    for byte in (sps.profile_idc, sps.constraint_flags, sps.level_idc):
        bits.u(byte, 8)
    bits.ue(sps.id)
    if sps.profile_idc in HIGH_PROFILES:
        bits.ue(sps.chroma_format_idc)
        if sps.chroma_format_idc == 3:
            bits.u(sps.separate_colour_planes, 1)
        bits.ue(sps.bit_depth_luma - 8)
        bits.ue(sps.bit_depth_chroma - 8)
        bits.u(0, 2)  # qpprime_y_zero_transform_bypass_flag, seq_scaling_matrix_present_flag
    bits.ue(sps.log2_max_frame_num - 4)
    bits.ue(sps.poc_type)
    if sps.poc_type == 0:
        bits.ue(sps.log2_max_poc_lsb - 4)
    elif sps.poc_type == 1:
        bits.u(sps.delta_pic_order_always_zero, 1)
        bits.se(sps.offset_for_non_ref_pic)
        bits.se(sps.offset_for_top_to_bottom_field)
        bits.ue(len(sps.offsets_for_ref_frame))
        for offset in sps.offsets_for_ref_frame:
            bits.se(offset)
    bits.ue(sps.max_num_ref_frames)
    bits.u(sps.gaps_in_frame_num_allowed, 1)
    bits.ue(sps.width_mbs - 1)
    bits.ue(sps.height_map_units - 1)
    bits.u(sps.frame_mbs_only, 1)
    if not sps.frame_mbs_only:
        bits.u(sps.mb_adaptive_frame_field, 1)
    bits.u(sps.direct_8x8_inference, 1)
    bits.u(0, 2)  # frame_cropping_flag, vui_parameters_present_flag
    return bits


def _pps_bits(pps: Pps) -> BitWriter:
    bits = BitWriter()
    bits.ue(pps.id)
    bits.ue(pps.sps_id)
    bits.u(pps.cabac, 1)
    bits.u(pps.bottom_field_pic_order_in_frame_present, 1)
    bits.ue(0)  # num_slice_groups_minus1
    for count in pps.num_ref_idx_active:
        bits.ue(count - 1)
    bits.u(pps.weighted_pred, 1)
    bits.u(pps.weighted_bipred_idc, 2)
    bits.se(pps.pic_init_qp - 26)
    bits.se(0)  # pic_init_qs_minus26
    bits.se(0)  # chroma_qp_index_offset
    bits.u(pps.deblocking_filter_control_present, 1)
    bits.u(0, 1)  # constrained_intra_pred_flag
    bits.u(pps.redundant_pic_cnt_present, 1)
    return bits


def _nal(kind: NalType, bits: BitWriter) -> bytes:
    return START_CODE + bytes([_REFERENCE << 5 | kind]) + escape(_with_trailing_bits(bits))


def _with_trailing_bits(bits: BitWriter) -> bytes:
    bits.u(1, 1)  # rbsp_stop_one_bit
    bits.align("0")
    return bits.to_bytes()
