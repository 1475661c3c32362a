"""The same stream decoded once more, with other headers, to ask the decoder what it does not tell by itself.

Entropy decoding never looks at samples, so headers may be rewritten freely as long as the slice data mean the same:

- Each slice gets a table of explicit prediction weights (7.3.3.2) in which every picture of a reference list has the
  weight 0 and an offset of its own. What is shown then is, but for the residual, the offset (8.4.2.3.2): a picture of
  references. FFmpeg's AVMotionVector tells only the direction of a vector.
- The picture is a row of macroblocks taller (7.4.2.1.1). Nothing was sent for that row, so the decoder reports exactly it
  as missing, unless a slice had bits left at its end: garbage that came out shorter than what was sent, which the decoder
  passes over in silence otherwise.

One decode answers both questions for all pictures.

Concealing the row takes as long as decoding some pictures. With `skip_bottom` libavcodec leaves a picture alone that
misses exactly so many rows (libavcodec/error_resilience.c, ff_er_frame_end). It is then as silent about a picture that
misses nothing at all, so the row is looked at: what was not decoded is as black as memory is at first. Where it is not,
the whole stream is asked once more, with concealment.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import av
import av.logging
import cv2
import numpy as np

from b2scvr.bitstream.bits import BitReader, BitWriter
from b2scvr.bitstream.concealment import concealed_count
from b2scvr.bitstream.logs import printing_at
from b2scvr.bitstream.nal import START_CODE, NalType, NalUnit, escape, scan, unescape
from b2scvr.bitstream.packet import decode_logged, open_decoder, padded_packet
from b2scvr.bitstream.reference_lists import SliceReferences
from b2scvr.bitstream.slice_header import replace_header
from b2scvr.bitstream.syntax import ParameterSets, Sps, parse_pps, parse_sps
from b2scvr.types import MB_SIZE, MV_BLOCK, SpliceError

PLANES = 3
_FIRST_MB_BYTES = 8  # enough for first_mb_in_slice
_LOWEST, _HIGHEST = 32, 124  # range of the offsets: a residual of either sign stays readable
_WEIGHTING_EXPLICIT = "101"  # weighted_pred_flag 1, weighted_bipred_idc 1 (7.3.2.2)
# Which planes carry the number of the picture, by list; the others carry _LOWEST. A P slice has all three for its one
# list; in a B slice the three sums of a bi-predicted block still tell both pictures apart.
_CARRIES_P = ((True, True, True),)
_CARRIES_B = ((True, False, True), (False, True, True))

Lists = tuple[tuple[int, ...], ...]


@dataclass
class Answer:
    """What the decoder said of one access unit."""

    cells: np.ndarray | None = None  # uint8 [3, H/8 + more, W/8], mean of each plane over each 8x8 cell; None: not told
    # or not needed, as no list holds two pictures
    missing: int = 0  # macroblocks reported as missing
    expected: int = 0  # macroblocks of the row that was never sent

    @property
    def unread(self) -> bool:
        """Whether the decoder read on into the row that was never sent."""
        return self.expected > 0 and self.missing != self.expected


def probe(units: list[bytes], references: list[list[SliceReferences]]) -> list[Answer]:
    """Return the answers by decode index. references: the lists of each access unit, see reference_lists."""
    sets = ParameterSets()
    for unit in units[:1]:
        sets.update(unit)
    added = next((_rows_added(sps) for sps in sets.sps.values()), 0)
    with printing_at(av.logging.INFO):  # errors are counted at this level
        return _ask(units, references, added) or _ask(units, references, 0) or []


def _ask(units: list[bytes], references: list[list[SliceReferences]], silent_rows: int) -> list[Answer] | None:
    """Return the answers by decode index; None when the decoder's silence about `silent_rows` missing rows is ambiguous."""
    sets = ParameterSets()
    answers, silent = [Answer() for _ in units], set[int]()
    decoder = _open_decoder(silent_rows)
    for index in range(len(units) + 1):
        packet = None
        if index < len(units):
            sets.update(units[index])
            if silent_rows and not _adds_up(references[index], sets, silent_rows):
                return None
            asked, answers[index].expected = _rewrite(units[index], references[index], sets)
            packet = padded_packet(asked, index, is_annexb=True)
        frames, messages = decode_logged(decoder, packet)
        if packet is not None:
            answers[index].missing = concealed_count(messages)
            if silent_rows and not answers[index].missing:
                if messages:
                    return None
                silent.add(index)
        for frame in frames:
            if silent_rows and not _is_black(frame, silent_rows, make_so=frame.pts not in silent):
                return None
            if frame.pts in silent:
                answers[frame.pts].missing = answers[frame.pts].expected
                silent.remove(frame.pts)
            if frame.pts is not None and len(frame.planes) == PLANES and has_choice(references[frame.pts]):
                answers[frame.pts].cells = _cell_means(frame)
    return None if silent else answers


def _is_black(frame: av.VideoFrame, rows: int, make_so: bool) -> bool:
    """Whether all luma samples of the last rows of macroblocks are 0; `make_so` sees to it, for the next picture there."""
    plane = frame.planes[0]
    samples = np.frombuffer(memoryview(plane), np.uint8)[-rows * MB_SIZE * plane.line_size :]
    if make_so:
        samples[:] = 0
    return not samples.any()


def _adds_up(slices: list[SliceReferences], sets: ParameterSets, rows: int) -> bool:
    """Whether the decoder's count of missing macroblocks can be trusted: a slice that comes twice is taken off twice."""
    starts = [s.header.first_mb for s in slices if not s.header.field_pic]
    return len(set(starts)) == len(starts) and all(_rows_added(sps) == rows for sps in sets.sps.values())


def _rows_added(sps: Sps) -> int:
    """How many rows of macroblocks `_taller` adds to the frames of a stream."""
    return 1 if sps.frame_mbs_only else 2


def has_choice(slices: list[SliceReferences]) -> bool:
    """Whether any reference list of a picture holds more than one picture."""
    return any(len(set(entries)) > 1 for s in slices for entries in s.lists)


@functools.lru_cache(maxsize=256)
def offsets(lists: Lists) -> list[np.ndarray]:
    """Return the offset of each entry of each list in each plane, int [entries, 3]; the same picture has the same offset."""
    out = []
    for entries, carries in zip(lists, _CARRIES_P if len(lists) == 1 else _CARRIES_B, strict=True):
        pictures, number = np.unique(entries, return_inverse=True)
        step = (_HIGHEST - _LOWEST) // max(1, len(pictures) - 1)
        out.append(_LOWEST + step * number.reshape(-1, 1) * np.array(carries))
    return out


def _open_decoder(silent_rows: int) -> av.VideoCodecContext:
    # Deblocking would blur the offsets, guessed vectors for the missing row are of no use.
    # Vectors count from the corner of what is coded, cropped or not.
    options = {"flags": "+output_corrupt", "flags2": "+showall", "apply_cropping": "0"}
    options |= {"skip_loop_filter": "all", "ec": "deblock", "skip_bottom": str(silent_rows)}
    return open_decoder("h264", None, options)


def _rewrite(unit: bytes, slices: list[SliceReferences], sets: ParameterSets) -> tuple[bytes, int]:
    """Return the access unit as the probe asks it, and how many macroblocks its picture must miss (0: not known).

    What cannot be read stays as it is.
    """
    by_start = {s.header.first_mb: s for s in slices}
    pieces, position, expected = [], 0, 0
    for nal in scan(unit):
        new = None
        try:
            if nal.type == NalType.SPS:
                new = _taller(unescape(unit[nal.payload + 1 : nal.end]))
            elif nal.type == NalType.PPS:
                new = _explicit_weighting(unescape(unit[nal.payload + 1 : nal.end]), sets)
            elif nal.is_slice:
                new, expected = _ask_slice(unit, nal, sets, by_start)
        except SpliceError:
            continue
        if new is not None:
            pieces += [unit[position : nal.start], START_CODE, unit[nal.payload : nal.payload + 1], escape(new)]
            position = nal.end
    return b"".join([*pieces, unit[position:]]), expected


def _taller(rbsp: bytes) -> bytes:
    """Return the RBSP of an SPS with one more row of macroblocks (two in a stream that may hold fields)."""
    sps = parse_sps(rbsp)
    bits = f"{int.from_bytes(rbsp, 'big'):0{8 * len(rbsp)}b}"
    old, new = BitWriter(), BitWriter()
    old.ue(sps.height_map_units - 1)
    new.bits(bits[: sps.height_bit])
    new.ue(sps.height_map_units)
    new.bits(bits[sps.height_bit + old.length :].rstrip("0"))
    new.align("0")
    return new.to_bytes()


def _explicit_weighting(rbsp: bytes, sets: ParameterSets) -> bytes:
    """Return the RBSP of a PPS with explicit weighting switched on."""
    first = parse_pps(rbsp, sets.sps).weighting_bit
    bits = f"{int.from_bytes(rbsp, 'big'):0{8 * len(rbsp)}b}"
    bits = bits[:first] + _WEIGHTING_EXPLICIT + bits[first + len(_WEIGHTING_EXPLICIT) :]
    return int(bits, 2).to_bytes(len(rbsp), "big")


def _ask_slice(
    unit: bytes, nal: NalUnit, sets: ParameterSets, by_start: dict[int, SliceReferences]
) -> tuple[bytes | None, int]:
    """Return the RBSP of a slice with a table of weights (None: it needs none), and the width of its picture in macroblocks.

    The slice data stay as they are.
    """
    head = unit[nal.payload + 1 : nal.payload + 1 + _FIRST_MB_BYTES]
    known = by_start.get(BitReader(unescape(head)).ue())
    if known is None:
        return None, 0
    header = known.header
    sps, pps = sets.of_slice(header.pps_id)
    missing = 0 if header.field_pic else sps.width_mbs * _rows_added(sps)
    if not header.num_ref_idx_active:
        return None, missing
    entries = known.lists or tuple((0,) * count for count in header.num_ref_idx_active)
    rbsp = unescape(unit[nal.payload + 1 : nal.end])
    header_bytes = -(-header.header_bits // 8)
    words = f"{int.from_bytes(rbsp[:header_bytes], 'big'):0{8 * header_bytes}b}"
    bits = BitWriter()
    bits.bits(words[: header.weight_table[0]])
    bits.bits(_weights(entries, has_chroma=sps.chroma_format_idc != 0 and not sps.separate_colour_planes))
    bits.bits(words[header.weight_table[1] : header.header_bits])
    return replace_header(rbsp, header.header_bits, bits.bit_string(), pps.cabac), missing


@functools.lru_cache(maxsize=256)
def _weights(lists: Lists, has_chroma: bool) -> str:
    """A pred_weight_table (7.3.3.2) in which all weights are 0."""
    bits = BitWriter()
    for _ in range(1 + has_chroma):
        bits.ue(0)  # luma_log2_weight_denom, chroma_log2_weight_denom
    for entries in offsets(lists):
        for luma, *chroma in entries.tolist():
            for group in ([luma], chroma)[: 1 + has_chroma]:
                bits.bits("1")  # luma_weight_flag, chroma_weight_flag
                for offset in group:
                    bits.se(0)
                    bits.se(offset)
    return bits.bit_string()


def _cell_means(frame: av.VideoFrame) -> np.ndarray:
    rows, columns = -(-frame.height // MV_BLOCK), -(-frame.width // MV_BLOCK)
    bits = frame.format.components[0].bits
    means = np.empty((PLANES, rows, columns), np.uint8 if bits == 8 else np.uint16)
    for number, plane in enumerate(frame.planes):
        samples: np.ndarray = np.frombuffer(memoryview(plane), means.dtype)
        samples = samples.reshape(-1, plane.line_size // samples.itemsize)[: plane.height, : plane.width]
        side_y = MV_BLOCK * plane.height // frame.height if number else MV_BLOCK
        side_x = MV_BLOCK * plane.width // frame.width if number else MV_BLOCK
        short = rows * side_y - plane.height, columns * side_x - plane.width
        if any(short):
            samples = cv2.copyMakeBorder(samples, 0, short[0], 0, short[1], cv2.BORDER_REPLICATE)
        cv2.resize(samples, (columns, rows), dst=means[number], interpolation=cv2.INTER_AREA)
    return means if bits == 8 else (means >> (bits - 8)).astype(np.uint8)
