"""A video file, or a stream in memory, taken apart into access units: FFmpeg's demuxers find the packets.

A packet of a container is an access unit, whatever it holds. In streams without such borders (elementary streams, TS, PS)
those of H.264 are found by the standard's rules (`access_units`); other codecs' are cut by FFmpeg's parsers, and a packet
without a picture belongs to the picture that follows.
"""

from __future__ import annotations

import io
import itertools
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import av.logging

from b2scvr.bitstream.access_units import split_access_units
from b2scvr.bitstream.annexb import SampleFormat, lengths_fit, sample_format, to_annexb
from b2scvr.bitstream.nal import scan
from b2scvr.bitstream.parameter_repair import mend_parameter_sets, missing_sets
from b2scvr.types import InputError

ELEMENTARY = {
    ".h264": "h264", ".264": "h264", ".avc": "h264", ".h265": "hevc", ".265": "hevc", ".hevc": "hevc",
    ".m1v": "mpegvideo", ".m2v": "mpegvideo",
}  # fmt: skip
# Only these are opened: others read further files or addresses (playlists), or take any text or picture for a video.
_DEMUXERS = (
    "h264,hevc,mpegvideo,m4v,h263,mpegts,mpeg,mov,matroska,flv,live_flv,avi,ivf,obu,av1,asf,ogg,mxf,nut,rm,dv,mjpeg"
)
_NAL_CODECS = frozenset({"h264", "hevc"})
_PARSED = frozenset({"h264", "hevc", "mpegvideo", "m4v", "mpegts", "mpeg"})
MAX_PIXELS = 8192 * 4320
OPTIONS = {
    "format_whitelist": _DEMUXERS,
    "protocol_whitelist": "file",
    "max_pixels": str(MAX_PIXELS),
    "advanced_editlist": "0",  # an edit list of MP4 hides access units, or shows some twice
}
DEFAULT_FPS = 25.0
_ATTACHED_PICTURE = 0x400  # AV_DISPOSITION_ATTACHED_PIC: the cover of an album
_MOST_FAILURES = 64  # packets in a row that the demuxer may fail on before the file counts as ended
_PICTURE_START, _VOP_START = b"\x00\x00\x01\x00", b"\x00\x00\x01\xb6"  # MPEG-2 6.2.3, MPEG-4 part 2 6.2.5
_HEVC_FIRST_NON_VCL = 32  # nal_unit_type (H.265 table 7-1)
_STILL = re.compile(r"_pipe$|^image2|^(gif|apng|webp|avif|ico)$")
_NOT_ALLOWED = "Format not on whitelist"
_TOO_LARGE = re.compile(r"Picture size (\d+)x(\d+) (?:is invalid|exceeds)")
_WAY_OUT = "give a video stream (.h264 .h265 ...) or a container (.mp4 .mkv .ts .avi .flv ...)"


@dataclass
class Demuxed:
    """The coded pictures of one video stream."""

    codec: str  # FFmpeg's name of the codec
    decoder: str  # FFmpeg's name of the decoder for it
    extradata: bytes | None
    fps: float
    units: list[bytes] = field(default_factory=list)  # one per access unit, decoding order; Annex B for H.264 and HEVC
    lead_ins: dict[int, list[bytes]] = field(
        default_factory=dict
    )  # packets without a picture to show, by the next unit
    damaged: set[int] = field(default_factory=set)  # access units that the container shows to be damaged
    keys: set[int] = field(
        default_factory=set
    )  # access units that the container, or FFmpeg's parser, calls key pictures
    pixels: int = 0  # of a picture, as FFmpeg found when it looked at the stream; 0: it did not
    size: tuple[int, int] | None = (
        None  # coded height and width of the pictures to decode; None: those of the first one
    )
    suffix: bytes = b""  # bytes after the last picture that belong to none
    mended: tuple[str, ...] = ()  # what was replaced in the units because it was damaged, in words
    is_timed: bool = False  # each access unit has a time of its own in a container
    too_large: str | None = None  # size of a picture that FFmpeg refused while it looked at the stream
    notes: tuple[str, ...] = ()


@dataclass
class Unit:
    """One access unit, or what is left behind the last one, and the packets that it came in."""

    data: bytes
    packets: list[av.Packet]
    lead_ins: list[bytes] = field(default_factory=list)
    has_picture: bool = True
    damaged: bool = False  # the container says so


def demux(source: Path | bytes, demuxer: str | None, name: str) -> Demuxed:
    """Take the first video stream of a file, or of a stream in memory, apart.

    demuxer: FFmpeg's name; None lets FFmpeg find out. name: what messages call the source. Raises InputError naming the
    source when it is no video or is empty.
    """
    opened = io.BytesIO(source) if isinstance(source, bytes) else str(source)
    with av.logging.Capture() as logs:
        try:
            with av.open(opened, mode="r", format=demuxer, options=OPTIONS) as container:
                stream = video_stream(container, name)
                context = stream.codec_context
                found = Demuxed(context.codec.canonical_name, context.codec.name, None, _frame_rate(container, stream))
                found.is_timed, found.pixels = demuxer is None, context.width * context.height
                if container.format.name == "h264":
                    data = source if isinstance(source, bytes) else source.read_bytes()
                    [data], found.mended = mend_parameter_sets([data])
                    found.units, found.suffix = split_access_units(data)
                else:
                    _collect(found, access_units(container, stream))
                    if found.codec == "h264":
                        found.units, found.mended = mend_parameter_sets(found.units)
                found.extradata = context.extradata
                if found.codec in _NAL_CODECS:  # access units are in Annex B: the parameter sets must be too
                    found.extradata = _sample_format(found.codec, context.extradata).annexb_parameter_sets()
                found.notes = (*_notes(container, stream, len(found.units)), *found.mended)
        except (av.error.FFmpegError, ValueError) as error:
            raise InputError(f"{name}: {_reason(error, logs)}") from error
    sizes = [match for _, _, message in logs if (match := _TOO_LARGE.search(message))]
    found.too_large = f"{sizes[0][1]}x{sizes[0][2]}" if sizes else None
    if not found.units:
        raise InputError(f"{name}: holds no coded picture; {_WAY_OUT}")
    return found


def video_stream(container: av.container.InputContainer, name: str) -> av.VideoStream:
    """Return the first video stream that is no cover picture. Raises InputError when there is none to decode."""
    streams = [s for s in container.streams.video if not int(s.disposition) & _ATTACHED_PICTURE]
    if not streams:
        others = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise InputError(f"{name}: holds no video stream, only {others}; {_WAY_OUT}")
    if streams[0].codec_context is None:
        raise InputError(f"{name}: no decoder recognises its video; was it cut inside its first picture?")
    return streams[0]


def access_units(container: av.container.InputContainer, stream: av.VideoStream) -> Iterable[Unit]:
    """Yield the access units of a stream up to where the file breaks; what is left over at its end has no picture."""
    codec = stream.codec_context.codec.canonical_name
    found = packets(container, [stream])
    is_parsed = container.format.name in _PARSED
    if codec == "h264" and is_parsed:
        return _h264_streamed(list(found))
    if is_parsed:
        return _joined(found, _PICTURE_TESTS.get(codec))
    if codec in _NAL_CODECS:
        return _contained(found, _sample_format(codec, stream.codec_context.extradata))
    if codec == "mpeg4":  # DivX puts a B picture into the packet of the P picture before it
        unpack = av.bitstream.BitStreamFilterContext("mpeg4_unpack_bframes", stream)
        found = itertools.chain.from_iterable(map(unpack.filter, found))
    return _with_lead_ins(found, codec)


def _contained(found: Iterable[av.Packet], form: SampleFormat) -> Iterator[Unit]:
    for number, packet in enumerate(found):
        sample = bytes(packet)
        damaged = packet.is_corrupt or bool(form.length_bytes and not lengths_fit(sample, form.length_bytes))
        yield Unit(to_annexb(sample, form, is_first=number == 0), [packet], damaged=damaged)


def _sample_format(codec: str, extradata: bytes | None) -> SampleFormat:
    return sample_format(extradata, is_hevc=codec == "hevc")


def _h264_streamed(found: list[av.Packet]) -> Iterator[Unit]:
    """Cut by the standard's rules; a packet goes to the access unit in which it starts."""
    data = b"".join(map(bytes, found))
    units, suffix = split_access_units(data, missing_sets([data]))
    starts = itertools.accumulate((packet.size for packet in found), initial=0)
    waiting = deque(zip(starts, found, strict=False))
    end = 0
    for data in units:
        end += len(data)
        own = []
        while waiting and waiting[0][0] < end:
            own.append(waiting.popleft()[1])
        yield Unit(data, own)
    if suffix:
        yield Unit(suffix, [packet for _, packet in waiting], has_picture=False)


def _joined(found: Iterable[av.Packet], has_picture: Callable[[bytes], bool] | None) -> Iterator[Unit]:
    """Join each packet without a picture to the next one with a picture."""
    pending, own = b"", list[av.Packet]()
    for packet in found:
        data = bytes(packet)
        pending += data
        own.append(packet)
        if has_picture is None or has_picture(data):
            yield Unit(pending, own)
            pending, own = b"", []
    if pending:
        yield Unit(pending, own, has_picture=False)


def _with_lead_ins(found: Iterable[av.Packet], codec: str) -> Iterator[Unit]:
    """A packet a unit, but for pictures of VP8 that are never shown: they only lead in what follows."""
    lead_ins: list[bytes] = []
    for packet in found:
        data = bytes(packet)
        if codec == "vp8" and not data[0] & _VP8_SHOW_FRAME:
            lead_ins.append(data)
            continue
        yield Unit(data, [packet], lead_ins)
        lead_ins = []


def _collect(found: Demuxed, units: Iterable[Unit]) -> None:
    for unit in units:
        if not unit.has_picture:
            found.suffix = unit.data
            continue
        if unit.lead_ins:
            found.lead_ins[len(found.units)] = unit.lead_ins
        if unit.damaged:
            found.damaged.add(len(found.units))
        if any(packet.is_keyframe for packet in unit.packets):
            found.keys.add(len(found.units))
        found.units.append(unit.data)


def no_picture_reason(found: Demuxed) -> str:
    """Why none of the access units could be decoded, and the way out."""
    if found.too_large:
        return (
            f"pictures of {found.too_large} are larger than this reader accepts ({MAX_PIXELS} pixels); "
            "scale the video down, or if that is a mistake of a damaged header, repair the header first"
        )
    return (
        "no picture could be decoded: its parameter sets are missing or it is cut inside its first picture; "
        "give a part of the video that starts at a key picture"
    )


def packets(container: av.container.InputContainer, streams: Iterable[av.stream.Stream]) -> Iterator[av.Packet]:
    """Yield the packets that hold anything, in file order; one that the demuxer cannot read is passed over."""
    chosen = list(streams)
    demuxer, failures = container.demux(chosen), 0
    while failures < _MOST_FAILURES:
        try:
            packet = next(demuxer)
        except (StopIteration, av.error.EOFError):
            return
        except av.error.FFmpegError:
            demuxer, failures = container.demux(chosen), failures + 1
            continue
        failures = 0
        if packet.size:
            yield packet


def _frame_rate(container: av.container.InputContainer, stream: av.VideoStream) -> float:
    """Pictures a second. An elementary stream has no timestamps: only its headers know (FFmpeg's average is made up)."""
    told = stream.codec_context.framerate
    if container.format.name in ELEMENTARY.values() and told:
        return float(told)
    return float(stream.average_rate or stream.guessed_rate or DEFAULT_FPS)


def _notes(container: av.container.InputContainer, stream: av.VideoStream, count: int) -> Iterator[str]:
    if stream.frames > count and container.format.name.startswith("mov"):  # AVI counts empty packets too
        yield f"the container's index names {stream.frames} pictures, {count} of them are in the file"
    others = len(container.streams.video) - 1
    if others:
        yield f"{others} more video streams or covers in the file were not looked at"


def _reason(error: Exception, logs: list[tuple[int, str, str]]) -> str:
    """Why a file could not be opened, and the way out."""
    for _, demuxer, message in logs:
        if _NOT_ALLOWED in message:
            if _STILL.search(demuxer):
                return f"a still picture, not a video: damage is read from a video's bits; {_WAY_OUT}"
            return f"not a video that can be read (it looks like {demuxer!r}); {_WAY_OUT}"
        if "moov atom not found" in message:
            return (
                "an MP4 file without its index (moov): it was cut off, or not finished by its writer; "
                "give its elementary stream, or rebuild the index with a tool like untrunc"
            )
    return f"not a video that can be read ({_one_line(error)}); {_WAY_OUT}"


def _one_line(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split())


def _has_hevc_picture(data: bytes) -> bool:
    return any(data[nal.payload] >> 1 & 0x3F < _HEVC_FIRST_NON_VCL for nal in scan(data))


_VP8_SHOW_FRAME = 0x10  # in the first byte of a frame (RFC 6386 9.1): 0 for an alternative reference frame
_PICTURE_TESTS: dict[str, Callable[[bytes], bool]] = {
    "hevc": _has_hevc_picture,
    "mpeg1video": lambda data: _PICTURE_START in data,
    "mpeg2video": lambda data: _PICTURE_START in data,
    "mpeg4": lambda data: _VOP_START in data,
}
