"""A decoder with one thread, and what it is given, with zeros behind it."""

from __future__ import annotations

import av
import av.logging

_PADDING = bytes(64)  # AV_INPUT_BUFFER_PADDING_SIZE
_START_CODES = (b"\0\0\1", b"\0\0\0\1")
_ANNEXB_TAIL = bytes(1 << 14)  # more than the longest macroblock pair that garbage can make up


def open_decoder(codec: str, extradata: bytes | None, options: dict[str, str]) -> av.VideoCodecContext:
    """Return a decoder with one thread: several make its evidence racy, or switch concealment off.

    codec: FFmpeg's name; options: of libavcodec.
    """
    decoder = av.CodecContext.create(codec, "r")
    assert isinstance(decoder, av.VideoCodecContext)
    if extradata:
        decoder.extradata = padded_extradata(extradata)
    decoder.thread_type, decoder.thread_count = "SLICE", 1
    decoder.options = options
    return decoder


def decode_logged(decoder: av.VideoCodecContext, packet: av.Packet | None) -> tuple[list[av.VideoFrame], list[str]]:
    """Return the frames that a packet puts out, none where decoding it fails, and what the decoder printed meanwhile."""
    with av.logging.Capture() as logs:
        try:
            frames = decoder.decode(packet)
        except av.error.MemoryError:
            raise
        except av.error.FFmpegError:
            frames = []
    return frames, [message for _, _, message in logs]


def padded_packet(data: bytes, number: int | None = None, is_annexb: bool = False) -> av.Packet:
    """Return a packet that holds a copy of `data` with zeros behind it, and `number` for its times.

    Decoders read on behind the end of a packet (AV_INPUT_BUFFER_PADDING_SIZE). A packet made of bytes directly has
    behind it whatever lies there in memory: the same damaged stream then decodes to other pictures from run to run, and
    even an intact one may. libavcodec's H.264 decoder looks only after each macroblock whether it has gone too far, so
    garbage leads it much further: is_annexb puts as many zeros behind an access unit as it may read
    (trailing_zero_8bits, H.264 B.1).
    """
    content = data + _ANNEXB_TAIL if is_annexb else data
    packet = av.Packet(len(content))
    packet.update(content)
    packet.pts = packet.dts = number
    return packet


def padded_extradata(extradata: bytes) -> bytes:
    """Return extradata for a decoder; behind Annex-B parameter sets, which may be cut off, come zeros (B.1)."""
    return extradata + _PADDING if extradata.startswith(_START_CODES) else extradata
