"""What reading begins with where a period is cut: the pictures before the cut, put in as they were decoded.

Between two IDR pictures all may predict from what came before. But a decoder holds few pictures (max_num_ref_frames, H.264
7.4.2.1.1). Where intra pictures that show the same stand in their places (splice), nothing before them is needed: what follows
comes out as it would have.

    sent       I p p p p p p p | p p p p ...
    entry              i i i i   p p p p ...      i: I_PCM, the first one with a recovery point message (D.1.8)
"""

from __future__ import annotations

import pickle
from collections.abc import Collection
from dataclasses import dataclass

import av.logging
import numpy as np

from b2scvr.bitstream.access_units import split_access_units
from b2scvr.bitstream.cuts import Cut
from b2scvr.bitstream.guard import run_guarded
from b2scvr.bitstream.logs import printing_at
from b2scvr.bitstream.nal import first_slice
from b2scvr.bitstream.packet import decode_logged, open_decoder, padded_packet
from b2scvr.bitstream.part import Part, behind_added
from b2scvr.bitstream.planes import pixel_format_of, planes_from_frame
from b2scvr.bitstream.recovery_point import MESSAGE
from b2scvr.bitstream.sent_sets import SentSets
from b2scvr.bitstream.splice import splice_picture
from b2scvr.bitstream.syntax import ParameterSets
from b2scvr.types import NOT_WHOLE, AccessUnitStatus, InputError, Planes, SpliceError

_OPTIONS = {"flags": "+output_corrupt", "apply_cropping": "0"}


@dataclass(frozen=True)
class Beginning:
    """Access units that a part inside a period begins with, before its own."""

    sent: list[bytes]  # behind them a stock decoder shows what it shows in the file
    repaired: list[bytes] | None  # those of the repaired stream, as many; None: the same
    is_doubtful: bool  # the repaired pictures among them are not all right
    known: Known | None = None  # of the pictures that they show, where none was repaired in the stream


@dataclass(frozen=True)
class Known:
    """What is known of consecutive pictures, in display order."""

    restored: np.ndarray  # uint8 [N, H, W, 3]
    is_damaged: np.ndarray  # bool [N], as they were sent
    damage_trace: np.ndarray  # float32 [N, h, w], see ParsedClip


@dataclass(frozen=True)
class _Ending:
    """The end of a part: its access units in decoding order, as they came and as they were repaired.

    Those from place `start` up to `entered` are put in, the others up to `end` are read; places are those in `repaired`.
    """

    sent: list[bytes]
    repaired: list[bytes]  # `sent` where nothing was repaired
    start: int
    entered: int
    end: int
    sources: list[int]  # places in `sent` from `start` to `end`; where nothing arrived, that of the one before
    broken: list[int]  # places of those to be read that lost bits
    compared: int  # how many from `entered` on must come out as they do here
    is_doubtful: bool  # not all that is repaired is right
    extradata: bytes | None


def begin_behind(part: Part, cut: Cut, end: int, extradata: bytes | None, name: str) -> Beginning | None:
    """Return what the part that comes next can begin with, made in a guarded child process.

    part: the one before, which ends before access unit `end` of the file, and what became of it; cut: the place at or before
    its end that is read from; extradata: of the decoder; name: what messages call the file.

    None where nobody said what became of damage in the part, where a picture is not there or cannot be replaced, or where what
    comes behind would not come out the same.
    """
    ending = _ending(part, cut, end, extradata)
    try:
        found = ending and run_guarded(_make_pickled, pickle.dumps(ending), name)
    except InputError:
        found = None
    if not ending or not found:
        return None
    sent, repaired = found
    known = _known(part, cut, end)
    is_same = known is not None or repaired == sent
    return Beginning(sent, None if is_same else repaired, ending.is_doubtful, known)


def _known(part: Part, cut: Cut, end: int) -> Known | None:
    """What is known of the pictures of a part from those on that a cut is read from; None where its stream was repaired."""
    recovered, clip = part.recovered, part.coded.clip
    if recovered is None or recovered.repaired is not None or part.repaired_before is not None:
        return None
    pictures = slice(cut.start - part.start, end - part.start)
    is_damaged = clip.status[pictures] != AccessUnitStatus.INTACT
    return Known(recovered.frames[pictures], is_damaged, clip.damage_trace[pictures])


def _ending(part: Part, cut: Cut, end: int, extradata: bytes | None) -> _Ending | None:
    clip, sent = part.coded.clip, part.coded.access_units
    # What looks the same behind repaired pictures may still differ by less than can be shown.
    repaired = (part.repaired_before or part.coded).access_units
    added, left, is_repaired = tuple[int, ...](), tuple[int, ...](), True
    if part.is_damaged:
        if part.recovered is None:
            return None
        added, left, is_repaired = part.recovered.added, part.recovered.left, part.recovered.repaired is not None
        if part.recovered.repaired is not None:
            repaired = split_access_units(part.recovered.repaired)[0]
    first, entered, last = (number - part.start for number in (cut.start, cut.at, end))
    start, behind_start = (behind_added(border, added, False) for border in (first, entered))
    stop = behind_added(last, added, True)
    if stop - behind_start != last - entered:
        return None  # pictures that never arrived have no place among those that are read
    sources = first - 1 + np.cumsum([place not in added for place in range(start, stop)])
    status = clip.status[np.argsort(clip.decode_index)][entered:]
    broken = (behind_start + np.flatnonzero(np.isin(status, NOT_WHOLE))).tolist()
    compared = broken[0] - behind_start if broken else len(status)
    is_doubtful = not is_repaired or any(first <= place < last for place in left)
    broken = [place for place in broken if place < stop]
    return _Ending(
        sent, repaired, start, behind_start, stop, sources.tolist(), broken, compared, is_doubtful, extradata
    )


def _make_pickled(data: bytes) -> tuple[list[bytes], list[bytes]] | None:
    """`_make` of its pickled argument, which comes from our own parent process."""
    with printing_at(av.logging.DEBUG):
        return _make(pickle.loads(data))


def _make(ending: _Ending) -> tuple[list[bytes], list[bytes]] | None:
    """Return the access units up to the end that show what was decoded as sent, and those that show what was repaired."""
    put_in, compared = range(ending.start, ending.entered), range(ending.start, ending.entered + ending.compared)
    # What was concealed is put in as well: behind pictures without vectors it would come out otherwise.
    sources = {place: ending.sources[place - ending.start] for place in (*put_in, *ending.broken)}
    as_repaired = _samples(ending.repaired, ending.extradata, compared)
    as_sent = _samples(ending.sent, ending.extradata, sources.values())
    if not as_sent or min(as_sent) > min(sources.values()) or not all(place in as_repaired for place in compared):
        return None
    shown = {place: as_sent[max(one for one in as_sent if one <= source)] for place, source in sources.items()}
    try:
        repaired = _put_in(ending, ending.repaired[ending.start : ending.end], {p: as_repaired[p] for p in put_in})
        sent = _put_in(ending, [ending.sent[source] for source in ending.sources], shown)
    except SpliceError:
        return None
    resumed = _samples(repaired + ending.repaired[ending.end : compared.stop], ending.extradata, range(len(compared)))
    for number, place in enumerate(compared):
        if number not in resumed or not resumed[number].has_samples_of(as_repaired[place]):
            return None
    return sent, repaired


def _samples(units: list[bytes], extradata: bytes | None, wanted: Collection[int]) -> dict[int, Planes]:
    """Decode access units; return the samples of those that are wanted, and were decoded."""
    decoder, found = open_decoder("h264", extradata, _OPTIONS), dict[int, Planes]()
    for number, unit in enumerate([*units, None]):
        packet = None if unit is None else padded_packet(unit, number, is_annexb=True)
        for frame in decode_logged(decoder, packet)[0]:
            if frame.pts is not None and frame.pts in wanted and pixel_format_of(frame) is not None:
                found[frame.pts] = planes_from_frame(frame)
    return found


def _put_in(ending: _Ending, units: list[bytes], samples: dict[int, Planes]) -> list[bytes]:
    """Return access units with samples put in at places, the first one with a message that decoding can begin there.

    It brings the parameter sets that were sent before, too. Headers are those of the repaired stream: they can be read.
    """
    sets, sent_sets, units = ParameterSets(), SentSets(), list(units)
    for piece in (ending.extradata or b"", *ending.repaired[: ending.start]):
        sets.update(piece)
        sent_sets.update(piece)
    for place in range(ending.start, ending.end):
        sets.update(ending.repaired[place])
        if place in samples:
            units[place - ending.start] = splice_picture(ending.repaired[place], samples[place], sets)
    first = first_slice(units[0])
    units[0] = sent_sets.without(units[0]) + units[0][:first] + MESSAGE + units[0][first:]
    return units
