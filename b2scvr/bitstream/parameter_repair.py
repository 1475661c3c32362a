"""Parameter sets that arrived damaged, or did not arrive, give way to another copy of them in the same stream.

One wrong bit in a parameter set costs every picture up to the next copy. Encoders send the same sets again and again, so
a copy that is not like the others is suspicious. The slices that follow it are the judges: with the right sets their
headers make sense.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import takewhile

from b2scvr.bitstream.bits import BitReader
from b2scvr.bitstream.nal import START_CODE, NalType, NalUnit, scan, unescape
from b2scvr.bitstream.slice_header import MAX_HEADER_BYTES, SliceHeader, parse_slice_header
from b2scvr.bitstream.syntax import ParameterSets, Pps
from b2scvr.types import SpliceError

_KINDS = {NalType.SPS: "sequence", NalType.PPS: "picture"}
_JUDGES = 32  # slices asked about one copy
_MAX_QP = 51


@dataclass(frozen=True)
class _Nal:
    piece: int
    place: NalUnit
    raw: bytes  # from the NAL header byte on; of a slice, its start


def mend_parameter_sets(pieces: list[bytes]) -> tuple[list[bytes], tuple[str, ...]]:
    """Return the pieces of an Annex-B stream with damaged parameter sets replaced, and notes that say so.

    A copy is replaced by the most frequent one of its kind (the first of them) when more of the slice headers behind it
    make sense then, or as many if it changes the size or format of the pictures or cannot be read at all. Without another
    copy, nothing is. A stream that begins without parameter sets gets those that `missing_sets` finds then.
    """
    pieces, notes = _mend_sent(pieces)
    head = missing_sets(pieces)
    if not head:
        return pieces, notes
    start = scan(pieces[0])[0].start
    pieces = [pieces[0][:start] + head + pieces[0][start:], *pieces[1:]]
    return pieces, ("the stream begins without parameter sets: the first ones it holds were put there", *notes)


def _mend_sent(pieces: list[bytes]) -> tuple[list[bytes], tuple[str, ...]]:
    """`mend_parameter_sets` for the sets that were sent."""
    nals = _nals(pieces)
    copies = {kind: Counter(nal.raw for nal in nals if nal.place.type == kind) for kind in _KINDS}
    if all(len(found) <= 1 for found in copies.values()):
        return pieces, ()
    usual = {kind: found.most_common(1)[0][0] for kind, found in copies.items() if found}
    sets = ParameterSets()
    replaced: list[tuple[_Nal, bytes]] = []
    for number, nal in enumerate(nals):
        if nal.place.type not in _KINDS:
            continue
        better = usual[NalType(nal.place.type)]
        if nal.raw != better and _is_better(sets, nal, better, nals[number + 1 :]):
            replaced.append((nal, better))
            _add(sets, better)
        else:
            _add(sets, nal.raw)
    notes = tuple(
        f"{count} damaged {_KINDS[kind]} parameter sets were replaced by another copy in the stream"
        for kind in _KINDS
        if (count := sum(nal.place.type == kind for nal, _ in replaced))
    )
    return _with_replaced(pieces, replaced), notes


def missing_sets(pieces: list[bytes]) -> bytes:
    """Return the parameter sets that the first slices of a stream lack and that are sent later; empty where none are lacking.

    As in a file that was cut off at its start. They are lacking when some of those slices make sense with the later ones.
    """
    nals = _nals(pieces)
    begin = next((number for number, nal in enumerate(nals) if nal.place.type in _KINDS), 0)
    raw = [nal.raw for nal in takewhile(lambda nal: nal.place.type in _KINDS, nals[begin:])]
    sets = _extended(ParameterSets(), raw)
    if any(_makes_sense(nal, sets) for nal in nals[:begin][:_JUDGES]):
        return b"".join(START_CODE + one for one in raw)
    return b""


def _nals(pieces: list[bytes]) -> list[_Nal]:
    found = []
    for number, piece in enumerate(pieces):
        for nal in scan(piece):
            if nal.type in _KINDS:
                found.append(_Nal(number, nal, piece[nal.payload : nal.end]))
            elif nal.is_slice:
                found.append(_Nal(number, nal, piece[nal.payload : min(nal.end, nal.payload + MAX_HEADER_BYTES)]))
    return found


def _is_better(sets: ParameterSets, sent: _Nal, other: bytes, following: list[_Nal]) -> bool:
    """Whether the slices behind a parameter set make more sense with the other copy."""
    judges: list[_Nal] = []
    between: list[bytes] = []
    for nal in following:
        if nal.place.is_slice:
            judges.append(nal)
        elif nal.place.type == sent.place.type or judges:
            break
        else:
            between.append(nal.raw)  # the other kind of set that goes with it
    with_sent, with_other = (_extended(sets, [raw, *between]) for raw in (sent.raw, other))
    votes = [sum(_makes_sense(nal, which) for nal in judges[:_JUDGES]) for which in (with_sent, with_other)]
    if votes[0] != votes[1]:
        return votes[1] > votes[0]
    return not _is_readable(sets, sent) or _pictures(with_sent) != _pictures(with_other)


def _extended(sets: ParameterSets, more: list[bytes]) -> ParameterSets:
    copy = ParameterSets()
    copy.sps, copy.pps = dict(sets.sps), dict(sets.pps)
    for raw in more:
        _add(copy, raw)
    return copy


def _add(sets: ParameterSets, raw: bytes) -> None:
    sets.update(START_CODE + raw)


def _is_readable(sets: ParameterSets, sent: _Nal) -> bool:
    before = _extended(sets, [])
    before.sps = before.sps if sent.place.type == NalType.PPS else {}
    before.pps = {}
    _add(before, sent.raw)
    return bool(before.pps if sent.place.type == NalType.PPS else before.sps)


def _pictures(sets: ParameterSets) -> set[tuple[object, ...]]:
    """Size and format of the pictures that sequence parameter sets tell."""
    return {(s.size, s.chroma_format_idc, s.bit_depth_luma, s.bit_depth_chroma) for s in sets.sps.values()}


def _makes_sense(nal: _Nal, sets: ParameterSets) -> bool:
    """Whether a slice header reads well: every number in range, and ones before the CABAC data (7.3.4)."""
    try:
        header = parse_slice_header(nal.raw, sets)
        _, pps = sets.of_slice(header.pps_id)
        return 0 <= pps.pic_init_qp + header.slice_qp_delta <= _MAX_QP and _is_aligned(nal, header, pps)
    except SpliceError:
        return False


def _is_aligned(nal: _Nal, header: SliceHeader, pps: Pps) -> bool:
    if not pps.cabac:
        return True
    bits = BitReader(unescape(nal.raw[1:]))
    bits.u(header.header_bits)
    missing = -header.header_bits % 8
    return bits.u(missing) == (1 << missing) - 1  # cabac_alignment_one_bit


def _with_replaced(pieces: list[bytes], replaced: list[tuple[_Nal, bytes]]) -> list[bytes]:
    out = list(pieces)
    for nal, new in reversed(replaced):
        piece = out[nal.piece]
        out[nal.piece] = piece[: nal.place.payload] + new + piece[nal.place.end :]
    return out
