"""The only decode loop: access units -> what the decoder tells of each.

The settings are those that were measured to be truthful on damaged streams: one thread (frame threads make vectors racy,
several slice threads switch error concealment off), all frames shown, and packets numbered so that every output frame is
known by its access unit.

After an error in the middle of a macroblock, libavcodec's CAVLC decoder keeps the coefficients that it had read, and adds
them to a macroblock that comes later, in intact pictures too, IDR pictures included. So the decoder is opened anew at the
next IDR picture, and the pictures up to there are marked as `stained`.
"""

from __future__ import annotations

import itertools
import math
import mmap
from collections.abc import Collection
from dataclasses import dataclass, field

import av
import numpy as np
from av.sidedata.encparams import VideoEncParams
from av.sidedata.sidedata import SideDataContainer
from av.video.reformatter import VideoReformatter

from b2scvr.bitstream import motion_vectors, prediction_modes
from b2scvr.bitstream.concealment import Concealment, concealment_from_log, is_exhausted, noticed_in_log
from b2scvr.bitstream.demux import MAX_PIXELS
from b2scvr.bitstream.nal import NalType, scan
from b2scvr.bitstream.packet import decode_logged, open_decoder, padded_packet
from b2scvr.bitstream.planes import colour_of, pixel_format_of, planes_from_frame
from b2scvr.bitstream.qp import dense_qp
from b2scvr.bitstream.sent_sets import SentSets
from b2scvr.bitstream.syntax import ParameterSets
from b2scvr.types import MB_SIZE, InputError, PictureType, Planes

DECODER_OPTIONS = {
    "flags": "+output_corrupt+unaligned",  # cropping to the sample, not to what is quick
    "flags2": "+export_mvs+showall",
    "export_side_data": "venc_params",
    "debug": "mb_type+er",
    "max_pixels": str(MAX_PIXELS),
}
_OF_CODEC = {"h264": {"apply_cropping": "0"}, "mpeg4": {"debug": "mb_type+er+pict"}}
_NOT_CODED = "vop not coded"  # vop_coded 0 (MPEG-4 part 2, 6.3.5)
_PICTURE_TYPES = {1: PictureType.I, 2: PictureType.P, 3: PictureType.B}  # AVPictureType
_NO_VECTORS = np.zeros(
    0,
    [("source", "i4"), ("w", "u1"), ("h", "u1"), ("dst_x", "i2"), ("dst_y", "i2")]
    + [("motion_x", "i4"), ("motion_y", "i4"), ("motion_scale", "u2")],
)


@dataclass
class Picture:
    """What one output frame told."""

    picture_type: int
    vectors: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # see motion_vectors.dense_vectors
    qp: np.ndarray  # int8 [h, w]
    modes: tuple[np.ndarray, np.ndarray] | None  # (mode, partition), uint8 [h, w]
    is_corrupt: bool
    planes: Planes | None


@dataclass
class Decoding:
    """What the decode loop collects, by decode index."""

    count: int  # access units
    pictures: dict[int, Picture] = field(default_factory=dict)  # in output order
    concealed: dict[int, np.ndarray] = field(
        default_factory=dict
    )  # bool [coded h, coded w], only where decoding failed
    distrusted: dict[int, np.ndarray] = field(default_factory=dict)  # likewise, what of that was decoded before
    noticed: dict[int, list[tuple[int, int]]] = field(default_factory=dict)  # (row, column), likewise
    exhausted: set[int] = field(default_factory=set)  # access units in which only the end of the bits was noticed
    stained: set[int] = field(default_factory=set)  # access units that an earlier error may have left its mark on
    unread: set[int] = field(default_factory=set)  # access units with bits that the decoder passed over
    repeated: set[int] = field(default_factory=set)  # access units that say: show the picture before again
    frames: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 0, 3), np.uint8))  # in output order
    colour: tuple[str, bool] = ("bt601", False)
    pixel_format: str = "yuv420p"
    coded_size: tuple[int, int] = (0, 0)  # height and width of the pictures before cropping
    crop: tuple[int, int, int, int] = (0, 0, 0, 0)  # left, right, top, bottom, in luma samples

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the pictures that are shown."""
        return self.frames.shape[1], self.frames.shape[2]

    def start(self, first: av.VideoFrame, crop: tuple[int, int, int, int]) -> None:
        """Make room for pictures like the first one, from which `crop` is to be cut off.

        Raises InputError when there is not enough.
        """
        left, right, top, bottom = self.crop = crop
        self.coded_size, self.colour = (first.height, first.width), colour_of(first)
        self.pixel_format = pixel_format_of(first) or first.format.name
        height, width = first.height - top - bottom, first.width - left - right
        shape = (self.count, height, width, 3)
        try:
            self.frames = _touched(shape)
        except (OSError, MemoryError) as error:
            raise InputError(
                f"{self.count} pictures of {width}x{height} need {math.prod(shape) / (1 << 30):.1f} GiB of memory, "
                "more than may be used; read a shorter part of it"
            ) from error

    def is_broken(self, index: int) -> bool:
        """Whether access unit `index` lost bits of its own."""
        return index in self.concealed or index in self.unread


class Decoder:
    """Decodes the access units of one stream in order."""

    def __init__(
        self,
        codec: str,
        extradata: bytes | None,
        count: int,
        unread: set[int],
        concealment: str | None = None,
        orphans: Collection[int] = (),
        size: tuple[int, int] | None = None,
    ) -> None:
        """codec: FFmpeg's name. count: access units to come. unread: those with bits that the decoder passes over.
        concealment: libavcodec's option `ec`; None leaves its default. orphans: those whose samples are kept too. size:
        coded height and width of the pictures that are taken; None takes those of the first one's."""
        self._codec, self._extradata = codec, extradata
        self._options = {} if concealment is None else {"ec": concealment}
        self._context = _open(codec, extradata, self._options)
        self._reformatter = VideoReformatter()  # one for all pictures: each new one sets up its tables again
        self._sets, self._sent = ParameterSets(), SentSets()
        if codec == "h264" and extradata:
            # A picture parameter set may come before its sequence parameter set, which was lost.
            self._sets.update(extradata)
        self._tainted, self._orphans = False, orphans
        self.found = Decoding(count, unread=unread)
        self._size = size

    def decode_all(self, units: list[bytes], lead_ins: dict[int, list[bytes]]) -> Decoding:
        """Return what the decoder tells of all `units`. lead_ins: packets without a picture to show, by the next unit."""
        for index, unit in enumerate(units):
            for lead_in in lead_ins.get(index, ()):
                self._feed(padded_packet(lead_in), index)
            is_cavlc = self._codec == "h264" and self._renew(unit)
            self._feed(padded_packet(unit, index, is_annexb=self._codec == "h264"), index)
            if self._tainted:
                self.found.stained.add(index)
            self._tainted |= is_cavlc and bool(self.found.noticed.get(index))
        self._feed(None, len(units))
        return self.found

    def _renew(self, unit: bytes) -> bool:
        """Open the decoder anew before an IDR picture when an error came before it; return whether CAVLC is in use."""
        self._sets.update(unit)
        self._sent.update(unit)
        if self._tainted and any(nal.type == NalType.IDR for nal in scan(unit)):
            self._feed(None, -1)
            self._context = _open(self._codec, bytes(self._sent) or self._extradata, self._options)
            self._tainted = False
        return any(not pps.cabac for pps in self._sets.pps.values())

    def _feed(self, packet: av.Packet | None, index: int) -> None:
        # An access unit that gives no picture is reported as lost.
        frames, messages = decode_logged(self._context, packet)
        if packet is not None and any(message.startswith(_NOT_CODED) for message in messages):
            self.found.repeated.add(index)
        if self._context.width:
            size = -(-self._context.coded_height // MB_SIZE), -(-self._context.coded_width // MB_SIZE)
            invented = concealment_from_log(messages, *size)
            if invented is not None and invented.concealed.any():
                self.found.concealed[index] = invented.concealed
                self.found.distrusted[index] = invented.distrusted
                self.found.noticed[index] = noticed_in_log(messages)
                if invented.overrun:
                    self._ascribe(index, invented)
                elif is_exhausted(messages):
                    self.found.exhausted.add(index)
        self._collect(frames, messages)

    def _ascribe(self, index: int, invented: Concealment) -> None:
        """Count what was noticed where another slice stands now as noticed at the end of the one that was read on."""
        hidden = set(map(tuple, np.argwhere(invented.concealed).tolist()))
        inside = [place for place in self.found.noticed[index] if place in hidden]
        self.found.noticed[index] = [*invented.overrun, *inside]

    def _collect(self, frames: list[av.VideoFrame], messages: list[str]) -> None:
        """Take the frames that one packet put out, each with its rows of macroblock modes in `messages`."""
        found = self.found
        headers = [i for i, message in enumerate(messages) if message.startswith(prediction_modes.HEADER)]
        sections = [messages[a:b] for a, b in itertools.pairwise([*headers, len(messages)])]
        if len(sections) != len(frames):
            sections = [[] for _ in frames]
        for frame, section in zip(frames, sections, strict=True):
            self._size = self._size or (frame.height, frame.width)
            if not found.pictures and (frame.height, frame.width) == self._size:
                found.start(frame, self._crop(frame))
            if frame.pts is None or frame.pts in found.pictures or (frame.height, frame.width) != found.coded_size:
                continue
            shown = self._reformatter.reformat(frame, format="rgb24", threads=1)
            _write_rgb(shown, (found.crop[2], found.crop[0]), found.frames[len(found.pictures)])
            keep_planes = found.is_broken(frame.pts) or frame.pts in self._orphans
            keep_planes &= pixel_format_of(frame) == found.pixel_format  # a clip is put back in one format
            found.pictures[frame.pts] = _describe(frame, found.size, section, keep_planes)

    def _crop(self, frame: av.VideoFrame) -> tuple[int, int, int, int]:
        """What the parameter sets cut off a frame; FFmpeg would keep a left margin so that its lines stay aligned."""
        size = frame.height, frame.width
        fitting = [s.crop for s in self._sets.sps.values() if (s.height_mbs * MB_SIZE, s.width_mbs * MB_SIZE) == size]
        return fitting[0] if fitting else (0, 0, 0, 0)


def _open(codec: str, extradata: bytes | None, options: dict[str, str]) -> av.VideoCodecContext:
    # Pictures of H.264 come as they are coded: planes are put back whole.
    return open_decoder(codec, extradata, DECODER_OPTIONS | _OF_CODEC.get(codec, {}) | options)


def _touched(shape: tuple[int, ...]) -> np.ndarray:
    """Return an uint8 array whose memory is there already: page by page, at first use, it costs more.

    Large pages would be cheaper still, but not in a virtual machine that gives free ones back to its host: there they cost
    as much as parsing does.
    """
    populate = getattr(mmap, "MAP_POPULATE", 0)
    if not populate:
        return np.empty(shape, np.uint8)
    block = mmap.mmap(-1, max(1, math.prod(shape)), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | populate)
    return np.frombuffer(block, np.uint8, math.prod(shape)).reshape(shape)


def _write_rgb(frame: av.VideoFrame, corner: tuple[int, int], out: np.ndarray) -> None:
    """Copy the samples of an rgb24 frame from `corner` (row, column) on into `out`, uint8 [H, W, 3]."""
    plane = frame.planes[0]
    lines = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    first = corner[1] * out.shape[2]
    out.reshape(len(out), -1)[:] = lines[corner[0] :, first:][: len(out), : out.shape[1] * out.shape[2]]


def _describe(frame: av.VideoFrame, size: tuple[int, int], section: list[str], keep_planes: bool) -> Picture:
    height, width = size
    # `frame.side_data` and its frame would hold one another for ever.
    side_data = SideDataContainer(frame)  # type: ignore[call-arg]
    records = side_data.get("MOTION_VECTORS")
    parameters = side_data.get("VIDEO_ENC_PARAMS")
    return Picture(
        picture_type=_PICTURE_TYPES.get(int(frame.pict_type), PictureType.UNKNOWN),
        vectors=motion_vectors.dense_vectors(records.to_ndarray() if records else _NO_VECTORS, height, width),
        qp=dense_qp(parameters if isinstance(parameters, VideoEncParams) else None, height, width),
        modes=prediction_modes.modes_from_log(section, -(-height // MB_SIZE), -(-width // MB_SIZE)),
        is_corrupt=frame.is_corrupt,
        planes=planes_from_frame(frame) if keep_planes else None,
    )
