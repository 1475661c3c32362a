"""Coded video -> ParsedClip: the file taken apart into access units, decoded, probed and put together.

Whole here; part by part: `parts`.
"""

from __future__ import annotations

import hashlib
import pickle
import stat
from pathlib import Path

import av.logging

from b2scvr.bitstream import damage_trace
from b2scvr.bitstream.assembly import CodedClip, assemble
from b2scvr.bitstream.decoding import Decoder
from b2scvr.bitstream.demux import ELEMENTARY, Demuxed, demux, no_picture_reason
from b2scvr.bitstream.guard import run_guarded
from b2scvr.bitstream.logs import printing_at
from b2scvr.bitstream.missing_ends import find_missing_ends
from b2scvr.bitstream.overwritten import find_overwritten
from b2scvr.bitstream.probe import probe
from b2scvr.bitstream.reference_lists import slice_references
from b2scvr.bitstream.references import add_references
from b2scvr.types import MISSING_REFERENCE, AccessUnitStatus, InputError, ParsedClip


def read(path: str | Path) -> ParsedClip:
    """Return the clip at `path`, decoded in a guarded child process.

    Raises InputError, one line that names the file and the reason, when it cannot be read.
    """
    return read_coded(path).clip


def read_coded(path: str | Path) -> CodedClip:
    """Return the clip at `path` with the bytes of its access units, decoded in a guarded child process.

    Raises InputError, one line that names the file and the reason, when it cannot be read; a crash or a hang of the
    decoder is such a reason too.
    """
    path = Path(path)
    _require_file(path)
    return run_guarded(decode_file, path, str(path))


def decode_guarded(data: bytes) -> CodedClip:
    """`decode` in a guarded child process: for H.264 streams that hold bytes from outside. Raises InputError as it does."""
    return run_guarded(decode, data, "stream in memory")


def demux_guarded(path: Path) -> tuple[Demuxed, str]:
    """`demux_file` in a guarded child process. Raises InputError as `read_coded` does."""
    _require_file(path)
    return run_guarded(demux_file, path, str(path))


def decode_units_guarded(coded: Demuxed, digest: str, name: str) -> CodedClip:
    """`decode_units` in a guarded child process."""
    return run_guarded(decode_pickled, pickle.dumps((coded, digest, name)), name)


def decode_pickled(data: bytes) -> CodedClip:
    """`decode_units` of its pickled arguments, which come from our own parent process."""
    return decode_units(*pickle.loads(data))


def decode(data: bytes, codec_format: str | None = "h264", concealment: str | None = None) -> CodedClip:
    """Decode an elementary stream held in memory, in this process: for streams of our own making.

    concealment: libavcodec's option `ec` for comparison, "0" or some of "guess_mvs", "deblock" and "favor_inter" joined by
    "+"; None is its default, "guess_mvs+deblock". Raises InputError when there is nothing to decode.
    """
    name = "stream in memory"
    return decode_units(_demux(data, codec_format, name), hashlib.sha256(data).hexdigest(), name, concealment)


def decode_file(path: Path) -> CodedClip:
    """Decode the first video stream of a file in this process, without a guard.

    Raises InputError naming the file when it cannot be read.
    """
    return decode_units(*demux_file(path), str(path))


def demux_file(path: Path) -> tuple[Demuxed, str]:
    """Return the access units of the first video stream of a file, and the file's SHA-256.

    Raises InputError naming the file when it cannot be read.
    """
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return _demux(path, ELEMENTARY.get(path.suffix.lower()), str(path)), digest


def _require_file(path: Path) -> None:
    """Raise InputError, with the way out, unless `path` is a file that can be opened and holds anything."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise InputError(f"{path}: a folder, not a video; name the video files in it")
        if not stat.S_ISREG(mode):
            raise InputError(f"{path}: not a regular file (a pipe or a device); save the video to a file first")
        with path.open("rb") as stream:
            if not stream.read(1):
                raise InputError(f"{path}: the file is empty; was it downloaded or recorded to its end?")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be opened ({error.strerror}); check its permissions") from error


def _demux(source: Path | bytes, codec_format: str | None, name: str) -> Demuxed:
    with printing_at(av.logging.DEBUG):  # all is captured, nothing is shown
        return demux(source, codec_format, name)


def decode_units(coded: Demuxed, digest: str, name: str, concealment: str | None = None) -> CodedClip:
    """Decode the access units of a video, in this process.

    digest: SHA-256 of the file that they are from; name: what messages call it; concealment: see `decode`. Raises
    InputError when none of them can be decoded.
    """
    units = coded.units
    is_h264 = coded.codec == "h264"
    references = slice_references(units) if is_h264 else []
    answers = probe(units, references) if is_h264 else []
    unread = coded.damaged | {index for index, answer in enumerate(answers) if answer.unread}
    orphans = {
        index
        for index, slices in enumerate(references)
        if any(MISSING_REFERENCE in ls for s in slices for ls in s.lists)
    }
    try:
        with printing_at(av.logging.DEBUG):
            decoder = Decoder(coded.decoder, coded.extradata, len(units), unread, concealment, orphans, coded.size)
            decoding = decoder.decode_all(units, coded.lead_ins)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    if not decoding.pictures:
        raise InputError(f"{name}: {no_picture_reason(coded)}")
    clip = assemble(decoding, units, coded.fps, coded.codec, digest)
    clip.notes += coded.notes
    if references:
        add_references(clip, references, answers)
    damage_trace.trace_damage(clip, clip.status == AccessUnitStatus.DEPENDENT)
    if is_h264 and concealment is None:
        with printing_at(av.logging.DEBUG):
            proven = find_missing_ends(clip, units)
            find_overwritten(clip, units, decoding.distrusted, proven)
    if not (clip.status == AccessUnitStatus.INTACT).any():
        clip.notes += ("no picture is intact: there is nothing to compare the damage with or to restore it from",)
    clip.validate()
    return CodedClip(clip, units, coded.suffix, bool(coded.mended), coded.is_timed)
