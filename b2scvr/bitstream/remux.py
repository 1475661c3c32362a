"""A repaired H.264 stream back into the container that the damaged one came in."""

from __future__ import annotations

import itertools
from pathlib import Path

import av
import av.logging
from av.stream import Stream

from b2scvr.bitstream.access_units import split_access_units
from b2scvr.bitstream.annexb import SampleFormat, from_annexb, sample_format
from b2scvr.bitstream.demux import OPTIONS, access_units, packets, video_stream
from b2scvr.bitstream.nal import scan
from b2scvr.types import InputError

_KEPT = frozenset({"audio", "subtitle"})
# FFmpeg's muxers move times so that they start at zero or later, unless told otherwise.
_UNMOVED = {"avoid_negative_ts": "disabled"}
_UNMOVED_TS = {"mpegts_copyts": "1"}


class RemuxError(Exception):
    """A repaired stream that its container does not take; the message says why."""


def remux(repaired: bytes, original: Path, target: Path) -> tuple[str, ...]:
    """Write `target`: the file `original` with the access units of its video that were repaired in place of the old ones.

    repaired: Annex-B stream with an access unit for each one of the original's first video stream. All other packets, of
    video, sound and subtitles, are the original's, byte for byte, and all keep their times. Returns notes on what the
    new file lacks. Raises RemuxError when the container has no packet for each picture or does not take the stream;
    nothing is left at `target` then.
    """
    units, _ = split_access_units(repaired)
    partial = target.with_name(f".partial.{target.name}")  # the suffix names the container
    try:
        with av.logging.Capture(), av.open(str(original), "r", options=OPTIONS) as container:
            changes = _changes(units, container)
        with av.logging.Capture(), av.open(str(original), "r", options=OPTIONS) as container:
            notes = _copy(container, changes, partial)
        with av.logging.Capture(), av.open(str(partial), "r", options=OPTIONS) as container:
            _verify(units, container)
        partial.replace(target)
    except (av.error.FFmpegError, ValueError, InputError) as error:
        raise RemuxError(" ".join(str(error).split())) from error
    finally:
        partial.unlink(missing_ok=True)
    return notes


def _changes(repaired: list[bytes], container: av.container.InputContainer) -> dict[int, bytes | None]:
    """Return the new contents of the video packets that change, by number; None for one that is dropped."""
    video = video_stream(container, "the container")
    form = SampleFormat(0) if container.format.name == "mpegts" else sample_format(video.codec_context.extradata)
    old_units = [unit for unit in access_units(container, video) if unit.has_picture]
    count = sum(bool(_slices(old.data)) for old in old_units)
    if count != len(repaired):
        raise RemuxError(f"the container has {count} access units for {len(repaired)} pictures")
    following = iter(repaired)
    changes: dict[int, bytes | None] = {}
    number = 0
    for old in old_units:
        if _slices(old.data):  # else nothing of it is in the stream: it goes on as it came
            new = next(following)
            if _nals(new) != _nals(old.data):
                if not old.packets:
                    raise RemuxError("a picture has no packet of its own in the container")
                changes[number] = from_annexb(new, form)
                changes |= dict.fromkeys(range(number + 1, number + len(old.packets)))
        number += len(old.packets)
    return changes


def _copy(container: av.container.InputContainer, changes: dict[int, bytes | None], target: Path) -> tuple[str, ...]:
    """Write the container's streams with the changes made; return what was left out, in words."""
    video = video_stream(container, "the container")
    kept = [video, *(stream for stream in container.streams if stream.type in _KEPT)]
    options = _UNMOVED | (_UNMOVED_TS if container.format.name == "mpegts" else {})
    with av.open(str(target), "w", options=options) as output:
        output.metadata.update(container.metadata)
        places: dict[int, Stream] = {}
        for stream in kept:
            place = places[stream.index] = output.add_stream_from_template(stream)
            place.metadata.update(stream.metadata)
        numbers = itertools.count()
        for packet in packets(container, kept):
            place = places[packet.stream.index]
            number = next(numbers) if packet.stream is video else -1
            if number in changes:
                new = changes[number]
                if new is None:
                    continue
                packet = _timed_like(packet, new)
            packet.stream = place
            output.mux(packet)
    left_out = [stream.type for stream in container.streams if stream not in kept]
    kinds = ", ".join(sorted(set(left_out)))
    return (f"the repaired file lacks {len(left_out)} streams of the original ({kinds})",) if left_out else ()


def _verify(repaired: list[bytes], container: av.container.InputContainer) -> None:
    """Raise RemuxError unless the container that was written gives the repaired stream back: damaged headers mislead."""
    units = [unit.data for unit in access_units(container, video_stream(container, "the new container"))]
    if [found for unit in units if (found := _slices(unit))] != [_slices(unit) for unit in repaired]:
        raise RemuxError("what was written does not read back the same")


def _slices(unit: bytes) -> list[bytes]:
    return [unit[nal.payload : nal.end] for nal in scan(unit) if nal.is_slice]


def _nals(unit: bytes) -> list[bytes]:
    return [unit[nal.payload : nal.end] for nal in scan(unit)]


def _timed_like(slot: av.Packet, data: bytes) -> av.Packet:
    packet = av.Packet(data)
    packet.time_base, packet.pts, packet.dts = slot.time_base, slot.pts, slot.dts
    packet.duration = slot.duration or 0
    packet.is_keyframe = slot.is_keyframe
    return packet
