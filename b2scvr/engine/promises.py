"""What the bitstream layer promises of any input, checked on one mutated stream.

    exception   nothing but InputError (not readable) and SpliceError (not spliceable) is raised
    slots       one output slot per access unit, each access unit once, and no byte of an elementary stream lost; the same
                when the file is read part by part (one seed of PARTED: each part is decoded in a process of its own)
    repeatable  a second decode gives the same clip, hash by hash
    intact      a picture that is told to be intact is the clean decode's
    repaired    a repaired stream decodes, to as many pictures, and the pictures put in are sound

That nothing hangs or crashes is checked by whoever runs `check_mutant`, in a process of its own.
"""

from __future__ import annotations

import hashlib
import itertools
import tempfile
import traceback
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

from b2scvr.bitstream.assembly import CodedClip
from b2scvr.bitstream.mutations import Mutant, mutate
from b2scvr.bitstream.nal import NalType, scan
from b2scvr.bitstream.parts import CodedFile
from b2scvr.bitstream.reader import decode
from b2scvr.bitstream.remux import RemuxError, remux
from b2scvr.bitstream.specimens import ALL, CONTAINED, H264, OTHER_CODECS, Specimen, make, moving_pictures
from b2scvr.types import NOT_WHOLE, AccessUnitStatus, InputError, ParsedClip, Planes, RecoveredClip, SpliceError

PROMISES = ("exception", "slots", "repeatable", "intact", "repaired")
UNNOTICED = "unnoticed"  # no promise: damage that the decoder read over, counted apart
_SUFFIXES = {"matroska": "mkv", "mpegts": "ts", "mpeg2video": "m2v"}  # where it is not the container's name
PARTED = 8  # of so many seeds one is read part by part too
_H264_SHARE = 8  # of ten seeds, so many mutate elementary H.264
_HEADER_BYTES = 16  # bytes of a slice that decide to which picture it belongs, and more
_SPAN = 10


@dataclass(frozen=True)
class Finding:
    """A promise that was broken, or damage that passed unnoticed."""

    promise: str
    detail: str


@dataclass
class Outcome:
    """What became of one seed."""

    seed: int
    specimen: str
    steps: tuple[str, ...] = ()
    findings: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)  # what happened, for the summary
    mutant: bytes = b""  # only of a mutant with findings


Recover = Callable[[CodedClip], RecoveredClip]


@dataclass
class CleanStream:
    """A specimen and its clean decode."""

    specimen: Specimen
    data: bytes
    coded: CodedClip

    @property
    def is_annexb(self) -> bool:
        """Whether the file is an elementary stream with start codes."""
        return self.specimen.container in ("h264", "hevc")


def clean_stream(name: str) -> CleanStream:
    """Make a specimen and decode it. Raises KeyError for an unknown name."""
    specimen = ALL[name]
    data = make(specimen, moving_pictures())
    return CleanStream(specimen, data, _decode(specimen, data))


def specimen_of(seed: int) -> str:
    """Return the kind of stream that a seed mutates: elementary H.264 of every kind in turn, the others less often."""
    turn, place = divmod(seed, _SPAN)
    if place < _H264_SHARE:
        return H264[(turn * _H264_SHARE + place) % len(H264)].name
    group = CONTAINED if place == _H264_SHARE else OTHER_CODECS
    return group[turn % len(group)].name


def check_mutant(clean: CleanStream, seed: int, recover: Recover) -> Outcome:
    """Mutate a stream and check every promise. recover: the pipeline, in splice mode for H.264."""
    mutant = mutate(clean.data, seed, clean.is_annexb)
    outcome = Outcome(seed, clean.specimen.name, mutant.steps)
    try:
        _check(clean, mutant, recover, outcome)
    except Exception as error:  # whatever it is: that is the promise
        where = traceback.extract_tb(error.__traceback__)[-1]
        outcome.findings.append(
            Finding("exception", f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})")
        )
    if outcome.findings:
        outcome.mutant = mutant.data
    return outcome


def _check(clean: CleanStream, mutant: Mutant, recover: Recover, outcome: Outcome) -> None:
    try:
        coded = _decode(clean.specimen, mutant.data)
    except InputError:
        outcome.counts["refused"] += 1
        return
    again = clip_digest(_decode(clean.specimen, mutant.data).clip)
    if again != clip_digest(coded.clip):
        outcome.findings.append(Finding("repeatable", "a second decode gives another clip"))
    outcome.findings += _check_slots(clean, mutant.data, coded)
    if clean.specimen in OTHER_CODECS or (outcome.seed % PARTED == 0 and clean.specimen in H264):
        outcome.findings += _check_parts(clean.specimen, mutant.data)
    outcome.findings += _check_intact(clean, coded)
    outcome.counts["undamaged"] += not coded.clip.status.any()
    try:
        recovered = recover(coded)
    except SpliceError as error:
        outcome.counts["not spliceable"] += 1
        outcome.counts[f"not spliceable: {error}"] += 1
        return
    outcome.counts[recovered.mode] += 1
    if recovered.mode == "splice":
        outcome.findings += _check_repaired(clean, mutant.data, coded, recovered)


def _decode(specimen: Specimen, data: bytes) -> CodedClip:
    return decode(data, specimen.container if specimen.container in ("h264", "hevc") else None)


def clip_digest(clip: ParsedClip) -> str:
    """Return a hash of all that a parsed clip holds."""
    digest = hashlib.sha256()
    for item in fields(clip):
        value = getattr(clip, item.name)
        for part in value.items() if isinstance(value, dict) else [(item.name, value)]:
            for piece in _pieces(part[1]):
                digest.update(piece)
    return digest.hexdigest()


def _pieces(value: object) -> list[bytes]:
    if isinstance(value, np.ndarray):
        return [str((value.dtype, value.shape)).encode(), np.ascontiguousarray(value).tobytes()]
    if isinstance(value, Planes):
        return [plane.tobytes() for plane in (value.y, value.u, value.v)]
    return [repr(value).encode()]


def _check_slots(clean: CleanStream, data: bytes, coded: CodedClip) -> list[Finding]:
    units, clip = coded.access_units, coded.clip
    found = []
    if sorted(clip.decode_index.tolist()) != list(range(len(units))):
        found.append(Finding("slots", f"{len(clip)} slots for {len(units)} access units"))
    if clean.specimen.container == "h264":
        if coded.stream() != data and not coded.mended:
            found.append(Finding("slots", f"{len(data)} bytes went in, {len(coded.stream())} came out"))
        if len(clip) != len(clean.coded.clip) and _same_outline(data, clean.data):
            found.append(Finding("slots", f"{len(clip)} slots, {len(clean.coded.clip)} before; no header differs"))
    return found


def _check_parts(specimen: Specimen, data: bytes) -> list[Finding]:
    """Read a stream part by part, each of one period or of some pictures of it, and compare with the whole."""
    with tempfile.TemporaryDirectory(prefix="b2scvr-") as folder:
        path = Path(folder) / f"mutant.{_suffix(specimen)}"
        path.write_bytes(data)
        try:
            whole = CodedFile(path).whole().coded
        except InputError:
            return []
        return [found for pixels in (None, 1) for found in _check_read_in_parts(path, whole, pixels)]


def _suffix(specimen: Specimen) -> str:
    return _SUFFIXES.get(specimen.container, specimen.container)


def _check_read_in_parts(path: Path, coded: CodedClip, period_pixels: int | None) -> list[Finding]:
    try:
        parts = list(CodedFile(path).parts(1, False, period_pixels))
    except InputError as error:
        return [Finding("slots", f"the whole can be read, its parts cannot: {error}")]
    count = sum(map(len, parts))
    if [part.first for part in parts] != [0, *itertools.accumulate(map(len, parts[:-1]))] or count != len(coded.clip):
        return [Finding("slots", f"{count} slots in parts, {len(coded.clip)} in the whole")]
    if b"".join(part.own_stream() for part in parts) != coded.stream():
        return [Finding("slots", "the bytes of the parts are not those of the whole")]
    return []


def _same_outline(first: bytes, second: bytes) -> bool:
    """Whether two streams have the same NAL units with the same headers, so that only slice data differ."""

    def outline(data: bytes) -> list[bytes]:
        return [
            data[nal.payload : min(nal.end, nal.payload + _HEADER_BYTES) if nal.is_slice else nal.end]
            for nal in scan(data)
        ]

    return outline(first) == outline(second)


def _check_intact(clean: CleanStream, coded: CodedClip) -> list[Finding]:
    """Compare each picture that is told to be intact with the clean one of the same bytes.

    A difference breaks the promise only when nothing passed unnoticed before: no access unit with changed bytes, or in
    another place, that is told to be intact too, and all parameter sets as they were.
    """
    before, after = clean.coded, coded
    if before.clip.frames.shape[1:] != after.clip.frames.shape[1:]:
        return [Finding(UNNOTICED, "another picture size")]
    slot_of = {int(index): slot for slot, index in enumerate(before.clip.decode_index)}
    before_index = {unit: index for index, unit in enumerate(before.access_units)}
    is_unique = Counter(before.access_units)
    excuse = "" if clean.specimen in H264 + CONTAINED else f"{clean.specimen.encoder} does not tell all damage"
    if not excuse and _parameter_sets(before) != _parameter_sets(after):
        excuse = "parameter sets changed"
    in_place = _in_place([before_index.get(unit, -1) for unit in after.access_units])
    found: dict[str, str] = {}
    for slot in np.argsort(after.clip.decode_index, kind="stable"):
        index = int(after.clip.decode_index[slot])
        unit = after.access_units[index]
        if after.clip.status[slot] != AccessUnitStatus.INTACT:
            continue
        if index not in in_place:
            excuse = excuse or f"access unit {index} has changed bytes or its place, and was not noticed"
        elif is_unique[unit] == 1 and not np.array_equal(
            after.clip.frames[slot], before.clip.frames[slot_of[before_index[unit]]]
        ):
            found.setdefault(
                UNNOTICED if excuse else "intact", excuse or f"picture {slot} (access unit {index}) differs"
            )
    return [Finding(promise, detail) for promise, detail in found.items()]


def _in_place(sources: list[int]) -> set[int]:
    """Return the positions of a longest rising run through `sources` (-1: none), what is left in its order."""
    best: list[list[int]] = []  # best[n]: a rising run of n + 1 positions with the smallest end
    for position, source in enumerate(sources):
        if source >= 0:
            length = bisect_left([sources[run[-1]] for run in best], source)
            best[length : length + 1] = [[*(best[length - 1] if length else []), position]]
    return set(best[-1]) if best else set()


def _parameter_sets(coded: CodedClip) -> list[bytes]:
    """The distinct parameter sets of a stream in the order in which they come."""
    kinds = (NalType.SPS, NalType.PPS)
    units = coded.access_units
    return list(dict.fromkeys(u[n.payload : n.end] for u in units for n in scan(u) if n.type in kinds))


def _check_repaired(clean: CleanStream, data: bytes, coded: CodedClip, recovered: RecoveredClip) -> list[Finding]:
    assert recovered.repaired is not None
    try:
        repaired = decode(recovered.repaired)
    except InputError as error:
        return [Finding("repaired", f"the repaired stream does not decode: {error}")]
    if clean.specimen in CONTAINED:
        found = _check_container(clean.specimen, data, recovered.repaired)
        if any(not any(nal.is_slice for nal in scan(unit)) for unit in coded.access_units):
            return found  # a packet of the container without a slice is a slot there, but nothing in a stream
    else:
        found = []
    kept = [slot for slot in range(len(repaired.clip)) if slot not in recovered.added]
    status = repaired.clip.status
    if len(kept) != len(coded.clip):
        found.append(Finding("repaired", f"{len(kept)} pictures in the repaired stream, not {len(coded.clip)}"))
    elif unsound := [s for s in (*(kept[n] for n in recovered.restored), *recovered.added) if status[s] in NOT_WHOLE]:
        names = ", ".join(AccessUnitStatus(int(status[slot])).name for slot in unsound)
        found.append(Finding("repaired", f"pictures put in are not sound: {unsound} ({names})"))
    elif not np.array_equal(repaired.clip.frames[kept], recovered.frames):
        found.append(Finding("repaired", "the repaired stream shows other pictures than were returned"))
    return found


def _check_container(specimen: Specimen, data: bytes, repaired: bytes) -> list[Finding]:
    """Put the repaired stream back into its container and read that."""
    count = len(_decode(specimen, data).clip)
    with tempfile.TemporaryDirectory(prefix="b2scvr-") as folder:
        original, target = (Path(folder) / f"{name}.{_suffix(specimen)}" for name in ("original", "repaired"))
        original.write_bytes(data)
        try:
            remux(repaired, original, target)
        except RemuxError:
            return []  # said, and the elementary stream is there all the same
        try:
            found = len(decode(target.read_bytes(), None).clip)
        except InputError as error:
            return [Finding("repaired", f"the repaired {specimen.container} does not decode: {error}")]
    if found != count:
        return [Finding("repaired", f"{found} pictures in the repaired {specimen.container}, not {count}")]
    return []
