"""Slice data made of I_PCM macroblocks (H.264 7.3.4, 7.3.5): samples as they are, coded with CAVLC or CABAC."""

from __future__ import annotations

import functools

import numpy as np

from b2scvr.bitstream.bits import BitWriter
from b2scvr.bitstream.cabac import Encoder, initial_context
from b2scvr.bitstream.syntax import Sps
from b2scvr.types import MB_SIZE, Planes

_I_PCM = 25  # mb_type in an I slice, table 7-11
_MB_TYPE_CONTEXTS = ((20, -15), (2, 54), (3, 74))  # (m, n) of ctxIdx 3..5, table 9-12
_FIELD_FLAG_CONTEXT = (0, 11)  # (m, n) of ctxIdx 70 (mb_field_decoding_flag, no field pair beside), table 9-18
_SAMPLE_BITS = 16  # of a NumPy number that holds samples of more than 8 bits

_State = tuple[int, int]  # of a context: pStateIdx, valMPS


def macroblock_bytes(planes: Planes, sps: Sps, mbaff: bool = False) -> np.ndarray:
    """Return the bits of pcm_sample_luma and pcm_sample_chroma of each macroblock, uint8 [h * w, bytes].

    Macroblocks are in the order of their addresses: raster order, or pairs of them in an MBAFF frame (6.4.1). planes: a
    frame or a field; of monochrome pictures the chroma planes are not looked at. Raises ValueError when the planes do not
    cover whole macroblocks, are not in the chroma format of the SPS, or hold larger numbers than its bit depth.
    """
    height, width = planes.y.shape
    rows, columns = height // MB_SIZE, width // MB_SIZE
    if height % MB_SIZE or width % MB_SIZE or (mbaff and rows % 2):
        raise ValueError(f"macroblock_bytes: {width}x{height} is no whole number of macroblocks")
    blocks = [_split(planes.y, rows, columns, (MB_SIZE, MB_SIZE), sps.bit_depth_luma)]
    if sps.chroma_format_idc:
        scale_y, scale_x = sps.chroma_scale
        sides = MB_SIZE // scale_y, MB_SIZE // scale_x
        blocks += [_split(plane, rows, columns, sides, sps.bit_depth_chroma) for plane in (planes.u, planes.v)]
    samples = np.concatenate(blocks, axis=2)
    if mbaff:
        samples = samples.reshape(rows // 2, 2, columns, -1).swapaxes(1, 2)
    return samples.reshape(rows * columns, -1)


def _split(plane: np.ndarray, rows: int, columns: int, sides: tuple[int, int], depth: int) -> np.ndarray:
    """Return the bits of one plane's samples, uint8 [rows, columns, bytes of a macroblock]."""
    if plane.shape != (rows * sides[0], columns * sides[1]):
        expected = f"{columns * sides[1]}x{rows * sides[0]}"
        raise ValueError(f"macroblock_bytes: a plane of {expected} samples expected, not {list(plane.shape)}")
    if int(plane.max(initial=0)) >> depth:
        raise ValueError(f"macroblock_bytes: a sample of {int(plane.max())} does not fit into {depth} bits")
    blocks = plane.reshape(rows, sides[0], columns, sides[1]).swapaxes(1, 2).reshape(rows, columns, -1)
    if depth == 8:
        return blocks.astype(np.uint8)
    words = blocks.astype(">u2").view(np.uint8).reshape(rows, columns, -1, _SAMPLE_BITS // 8)
    bits = np.unpackbits(words, axis=3)[..., _SAMPLE_BITS - depth :]
    return np.packbits(bits.reshape(rows, columns, -1), axis=2)


def cavlc_slice_data(header: BitWriter, samples: np.ndarray, mbaff: bool = False) -> bytes:
    """Return the RBSP of a slice of I_PCM macroblocks, its trailing bits included, coded with CAVLC.

    header: what was written of the slice header. samples: the slice's part of `macroblock_bytes`; of an MBAFF frame whole
    pairs, which become frame macroblocks.
    """
    _write_mb_type(header, mbaff)
    codes = []
    for opens_pair in (False, True):
        code = BitWriter()  # starts on a byte: the samples before it are whole bytes
        _write_mb_type(code, opens_pair)
        codes.append(np.frombuffer(code.to_bytes(), np.uint8))
    rows = np.empty((len(samples), len(codes[0]) + samples.shape[1]), np.uint8)
    rows[:, : len(codes[0])], rows[:, len(codes[0]) :] = codes[0], samples
    if mbaff:
        rows[::2, : len(codes[1])] = codes[1]
    return header.to_bytes() + rows.tobytes()[len(codes[0]) :] + b"\x80"


def _write_mb_type(bits: BitWriter, opens_pair: bool) -> None:
    if opens_pair:
        bits.u(0, 1)  # mb_field_decoding_flag
    bits.ue(_I_PCM)
    bits.align("0")  # pcm_alignment_zero_bit


def cabac_slice_data(
    header: BitWriter, samples: np.ndarray, columns: int, slice_qp: int, first: int = 0, mbaff: bool = False
) -> bytes:
    """Return the RBSP of a slice of I_PCM macroblocks, its trailing bits included, coded with CABAC.

    header: what was written of the slice header. samples: the slice's part of `macroblock_bytes`; of an MBAFF frame whole
    pairs, which become frame macroblocks. columns: macroblocks in a row. slice_qp: SliceQP_Y, which the contexts start
    from (9.3.1.1). first: address of the first macroblock.
    """
    header.align("1")  # cabac_alignment_one_bit
    contexts = [initial_context(m, n, slice_qp) for m, n in _MB_TYPE_CONTEXTS]
    field_flag = initial_context(*_FIELD_FLAG_CONTEXT, slice_qp)
    pieces = [header.to_bytes()]
    for address, data in enumerate(samples, first):
        # ctxIdxInc of mb_type: neighbours that are there and not I_NxN (9.3.3.1.1.3); all of the slice are I_PCM.
        if mbaff:
            pair, is_bottom = divmod(address, 2)
            neighbours = _neighbours(pair, first // 2, columns, above=is_bottom)
        else:
            neighbours, is_bottom = _neighbours(address, first, columns), 0
        opens_pair = mbaff and not is_bottom
        code, contexts[neighbours], flag = _mb_type_code(
            address > first and not is_bottom, contexts[neighbours], field_flag if opens_pair else None
        )
        field_flag = flag or field_flag
        pieces += [code, data.tobytes()]
    coder = Encoder()
    coder.terminate(1)  # end_of_slice_flag; the last bit of the flush is rbsp_stop_one_bit
    pieces.append(coder.to_bytes())
    return b"".join(pieces)


def _neighbours(place: int, first: int, columns: int, above: int = 0) -> int:
    """How many of the left and the upper neighbour belong to the slice; above: 1 when the upper one is known to."""
    return (place % columns > 0 and place > first) + (above or place - columns >= first)


@functools.lru_cache(maxsize=512)
def _mb_type_code(goes_on: bool, context: _State, field_flag: _State | None) -> tuple[bytes, _State, _State | None]:
    """Return what stands before the samples of a macroblock, and its contexts afterwards.

    goes_on: an end_of_slice_flag of 0 is coded first. field_flag: context of mb_field_decoding_flag, None where none is sent.
    """
    coder = Encoder()
    if goes_on:
        coder.terminate(0)
    if field_flag is not None:
        field_flag = coder.decision(0, field_flag)
    context = coder.decision(1, context)
    coder.terminate(1)  # bin 1 of mb_type says I_PCM; the coder is flushed (9.3.4.5)
    return coder.to_bytes(), context, field_flag
