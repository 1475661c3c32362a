"""The only decode loop: coded video -> ParsedClip, one slot per access unit, with all that the decoder tells.

The settings are those that were measured to be truthful on damaged streams: one thread (frame threads make vectors racy,
several slice threads switch error concealment off), all frames shown, and packets numbered so that every output frame is
known by its access unit.
"""

from __future__ import annotations

import hashlib
import io
import itertools
from collections.abc import Iterator
from pathlib import Path

import av
import av.logging
import numpy as np
from av.sidedata.encparams import VideoEncParams
from av.video.reformatter import VideoReformatter

from b2scvr.bitstream import damage_trace, motion_vectors, prediction_modes
from b2scvr.bitstream.assembly import CodedClip, Decoding, Picture, assemble
from b2scvr.bitstream.concealment import concealment_from_log, noticed_in_log
from b2scvr.bitstream.guard import run_guarded
from b2scvr.bitstream.nal import scan
from b2scvr.bitstream.planes import colour_of, planes_from_frame
from b2scvr.bitstream.probe import Answer, probe
from b2scvr.bitstream.qp import dense_qp
from b2scvr.bitstream.reference_lists import slice_references
from b2scvr.bitstream.references import add_references
from b2scvr.types import MB_SIZE, InputError, ParsedClip, PictureType

DECODER_OPTIONS = {
    "flags": "+output_corrupt",
    "flags2": "+export_mvs+showall",
    "export_side_data": "venc_params",
    "debug": "mb_type+er",
}
ELEMENTARY = {".h264": "h264", ".264": "h264", ".avc": "h264", ".h265": "hevc", ".265": "hevc", ".hevc": "hevc"}
MAX_PIXELS = 8192 * 4320
DEFAULT_FPS = 25.0
_PICTURE_TYPES = {1: PictureType.I, 2: PictureType.P, 3: PictureType.B}  # AVPictureType
_NO_VECTORS = np.zeros(
    0,
    [("source", "i4"), ("w", "u1"), ("h", "u1"), ("dst_x", "i2"), ("dst_y", "i2")]
    + [("motion_x", "i4"), ("motion_y", "i4"), ("motion_scale", "u2")],
)


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
    return _parse(io.BytesIO(data), codec_format, hashlib.sha256(data).hexdigest(), "stream in memory")


def decode_file(path: Path) -> CodedClip:
    """Decode the first video stream of a file in this process, without a guard.

    Raises InputError naming the file when it cannot be read.
    """
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return _parse(str(path), ELEMENTARY.get(path.suffix.lower()), digest, str(path))


def _parse(source: str | io.BytesIO, codec_format: str | None, digest: str, name: str) -> CodedClip:
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
                packets = list(_packets(container, stream))
                extradata = stream.codec_context.extradata
        except (av.error.FFmpegError, ValueError) as error:
            raise InputError(f"{name}: not a video that can be read ({error})") from error
    units, suffix = _group(packets, codec)
    if not units:
        raise InputError(f"{name}: holds no coded picture")
    references = slice_references(units) if codec == "h264" else []
    answers = probe(units, references) if codec == "h264" else []
    av.logging.set_level(av.logging.DEBUG)
    decoding = _decode_all(_open_decoder(codec, extradata), units, answers)
    if not decoding.pictures:
        raise InputError(
            f"{name}: no picture could be decoded; parameter sets missing, or cut inside its first picture"
        )
    clip = assemble(decoding, units, fps, codec, digest)
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


def _open_decoder(codec: str, extradata: bytes | None) -> av.VideoCodecContext:
    decoder = av.CodecContext.create(codec, "r")
    assert isinstance(decoder, av.VideoCodecContext)
    if extradata:
        decoder.extradata = extradata
    decoder.thread_type = "SLICE"
    decoder.thread_count = 1
    decoder.options = DECODER_OPTIONS
    return decoder


def _group(packets: list[bytes], codec: str) -> tuple[list[bytes], bytes]:
    """Return one entry per access unit (a packet without a slice joins the picture that follows) and what is left over."""
    units: list[bytes] = []
    pending = b""
    for packet in packets:
        pending += packet
        if codec != "h264" or any(nal.is_slice for nal in scan(packet)):
            units.append(pending)
            pending = b""
    return units, pending


def _decode_all(decoder: av.VideoCodecContext, units: list[bytes], answers: list[Answer]) -> Decoding:
    found = Decoding(len(units), unread={index for index, answer in enumerate(answers) if answer.unread})
    reformatter = VideoReformatter()  # one for all pictures: each new one sets up its tables again
    for index, unit in enumerate([*units, None]):
        packet = None
        if unit is not None:
            packet = av.Packet(unit)
            packet.pts = packet.dts = index
        with av.logging.Capture() as logs:
            try:
                frames = decoder.decode(packet)
            except av.error.FFmpegError:
                frames = []  # an access unit that gives no picture is reported as lost
        messages = [message for _, _, message in logs]
        if decoder.width:
            invented = concealment_from_log(
                messages, -(-decoder.coded_height // MB_SIZE), -(-decoder.coded_width // MB_SIZE)
            )
            if invented is not None and invented.any():
                found.concealed[index] = invented
                found.noticed[index] = noticed_in_log(messages)
        _collect(found, frames, messages, reformatter)
    return found


def _collect(found: Decoding, frames: list[av.VideoFrame], messages: list[str], reformatter: VideoReformatter) -> None:
    """Take the frames that one packet put out, each with its rows of macroblock modes in `messages`."""
    headers = [i for i, message in enumerate(messages) if message.startswith(prediction_modes.HEADER)]
    sections = [messages[a:b] for a, b in itertools.pairwise([*headers, len(messages)])]
    if len(sections) != len(frames):
        sections = [[] for _ in frames]
    for frame, section in zip(frames, sections, strict=True):
        if frame.width * frame.height > MAX_PIXELS:
            raise InputError(f"a picture of {frame.width}x{frame.height} is larger than this reader accepts")
        if not found.pictures:
            found.start((frame.height, frame.width), colour_of(frame))
        if frame.pts is None or frame.pts in found.pictures or (frame.height, frame.width) != found.size:
            continue
        _write_rgb(reformatter.reformat(frame, format="rgb24", threads=1), found.frames[len(found.pictures)])
        found.pictures[frame.pts] = _describe(frame, section, keep_planes=found.is_broken(frame.pts))


def _write_rgb(frame: av.VideoFrame, out: np.ndarray) -> None:
    """Copy the samples of an rgb24 frame into `out`, uint8 [H, W, 3], without the padding of its lines."""
    plane = frame.planes[0]
    lines = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    out.reshape(len(out), -1)[:] = lines[: len(out), : out.shape[1] * out.shape[2]]


def _describe(frame: av.VideoFrame, section: list[str], keep_planes: bool) -> Picture:
    height, width = frame.height, frame.width
    records = frame.side_data.get("MOTION_VECTORS")
    parameters = frame.side_data.get("VIDEO_ENC_PARAMS")
    planar = frame.format.name in ("yuv420p", "yuvj420p")
    return Picture(
        picture_type=_PICTURE_TYPES.get(int(frame.pict_type), PictureType.UNKNOWN),
        vectors=motion_vectors.dense_vectors(records.to_ndarray() if records else _NO_VECTORS, height, width),
        qp=dense_qp(parameters if isinstance(parameters, VideoEncParams) else None, height, width),
        modes=prediction_modes.modes_from_log(section, -(-height // MB_SIZE), -(-width // MB_SIZE)),
        is_corrupt=frame.is_corrupt,
        planes=planes_from_frame(frame) if keep_planes and planar else None,
    )
