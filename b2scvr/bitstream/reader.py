"""Coded video -> ParsedClip: the file taken apart into access units, decoded, probed and put together."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import av.logging

from b2scvr.bitstream import damage_trace
from b2scvr.bitstream.access_units import split_access_units
from b2scvr.bitstream.assembly import CodedClip, assemble
from b2scvr.bitstream.decoding import Decoder
from b2scvr.bitstream.guard import run_guarded
from b2scvr.bitstream.nal import scan
from b2scvr.bitstream.probe import probe
from b2scvr.bitstream.reference_lists import slice_references
from b2scvr.bitstream.references import add_references
from b2scvr.types import InputError, ParsedClip

ELEMENTARY = {".h264": "h264", ".264": "h264", ".avc": "h264", ".h265": "hevc", ".265": "hevc", ".hevc": "hevc"}
DEFAULT_FPS = 25.0


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
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty")
    return run_guarded(decode_file, path)


def decode(data: bytes, codec_format: str = "h264") -> CodedClip:
    """Decode an elementary stream held in memory, in this process: for streams of our own making.

    Raises InputError when there is nothing to decode.
    """
    return _parse(data, io.BytesIO(data), codec_format, "stream in memory")


def decode_file(path: Path) -> CodedClip:
    """Decode the first video stream of a file in this process, without a guard.

    Raises InputError naming the file when it cannot be read.
    """
    return _parse(path.read_bytes(), str(path), ELEMENTARY.get(path.suffix.lower()), str(path))


def _parse(data: bytes, source: str | io.BytesIO, codec_format: str | None, name: str) -> CodedClip:
    """Parse the file whose bytes are `data` and which libavformat opens as `source`."""
    av.logging.set_level(av.logging.DEBUG)  # the evidence is printed at this level; all is captured, nothing is shown
    av.logging.set_skip_repeated(False)
    with av.logging.Capture():
        try:
            with av.open(source, mode="r", format=codec_format) as container:
                if not container.streams.video:
                    raise InputError(f"{name}: holds no video stream")
                stream = container.streams.video[0]
                if stream.codec_context is None:
                    raise InputError(f"{name}: no decoder recognises its video; was it cut inside its first picture?")
                codec = stream.codec_context.codec.name
                fps = _frame_rate(container, stream)
                elementary = container.format.name == "h264"
                units, suffix = split_access_units(data) if elementary else _group(_packets(container, stream), codec)
                extradata = stream.codec_context.extradata
        except (av.error.FFmpegError, ValueError) as error:
            raise InputError(f"{name}: not a video that can be read ({error})") from error
    if not units:
        raise InputError(f"{name}: holds no coded picture")
    references = slice_references(units) if codec == "h264" else []
    answers = probe(units, references) if codec == "h264" else []
    av.logging.set_level(av.logging.DEBUG)
    unread = {index for index, answer in enumerate(answers) if answer.unread}
    decoding = Decoder(codec, extradata, len(units), unread).decode_all(units)
    if not decoding.pictures:
        raise InputError(
            f"{name}: no picture could be decoded; parameter sets missing, or cut inside its first picture"
        )
    clip = assemble(decoding, units, fps, codec, hashlib.sha256(data).hexdigest())
    if references:
        add_references(clip, references, answers)
    damage_trace.trace_damage(clip)
    clip.validate()
    return CodedClip(clip, units, suffix)


def _frame_rate(container: av.container.InputContainer, stream: av.VideoStream) -> float:
    """Pictures a second. An elementary stream has no timestamps: only its headers know (FFmpeg's average is made up)."""
    told = stream.codec_context.framerate
    if container.format.name in ELEMENTARY.values() and told:
        return float(told)
    return float(stream.average_rate or stream.guessed_rate or DEFAULT_FPS)


def _packets(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[bytes]:
    """Yield the packets of the stream up to where the file breaks; H.264 of a container is rewritten to Annex B."""
    to_annexb = None
    if stream.codec_context.name == "h264" and container.format.name != "h264":
        to_annexb = av.bitstream.BitStreamFilterContext("h264_mp4toannexb", stream)
    demuxer = container.demux(stream)
    while True:
        try:
            packet = next(demuxer)
        except (StopIteration, av.error.FFmpegError):
            return
        if packet.size:
            yield from map(bytes, to_annexb.filter(packet) if to_annexb else [packet])


def _group(packets: Iterable[bytes], codec: str) -> tuple[list[bytes], bytes]:
    """Return one entry per packet (one without a slice joins the picture that follows) and what is left over."""
    units: list[bytes] = []
    pending = b""
    for packet in packets:
        pending += packet
        if codec != "h264" or any(nal.is_slice for nal in scan(packet)):
            units.append(pending)
            pending = b""
    return units, pending
