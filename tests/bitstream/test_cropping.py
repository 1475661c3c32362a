"""Pictures of which not all is shown (frame cropping, H.264 7.4.2.1.1): frames as shown, planes as coded, exact repair."""

import av
import numpy as np
import pytest

from b2scvr.bitstream.damage import CutModel, damage
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.nal import NalType, scan
from b2scvr.bitstream.reader import decode
from b2scvr.bitstream.repair import splice_stream
from b2scvr.types import AccessUnitStatus

MARGINS = {"lower right": (0, 6, 0, 6), "all around": (2, 6, 4, 8)}  # left, right, top, bottom


def _encode(moving, margins):
    """Pictures of 96x128 or what is left of them; x264 pads to whole macroblocks, crop-rect takes off more."""
    if margins == MARGINS["lower right"]:
        return encode_h264(moving(20, 90, 122), options={"bf": "0"})
    left, right, top, bottom = margins
    return encode_h264(moving(20), options={"bf": "0", "x264-params": f"crop-rect={left},{top},{right},{bottom}"})


@pytest.fixture(params=MARGINS.values(), ids=MARGINS)
def streams(request, moving):
    clean = _encode(moving, request.param)
    return request.param, clean, damage(clean, CutModel(slices_per_gop=2, length=200, seed=2))[0]


def test_frames_are_what_ffmpeg_shows(streams):
    margins, clean, _ = streams
    coded = decode(clean)
    left, right, top, bottom = coded.clip.crop
    assert coded.clip.crop == margins and coded.clip.frames.shape == (20, 96 - top - bottom, 128 - left - right, 3)
    player = av.CodecContext.create("h264", "r")
    player.thread_count, player.options = 1, {"flags": "+unaligned"}  # else a left margin may stay
    shown = [frame for unit in [*coded.access_units, None] for frame in player.decode(unit and av.Packet(unit))]
    for frame, ours in zip(shown, coded.clip.frames, strict=True):
        assert np.array_equal(frame.to_ndarray(format="rgb24"), ours)


def test_pictures_before_the_first_parameter_sets_are_cropped_too(moving):
    units = decode(encode_h264(moving(20, 90, 122), gop=10, options={"bf": "0"})).access_units
    clip = decode(b"".join(units[7:])).clip  # a file that lost its head: the sets come with the next IDR picture
    assert clip.frames.shape == (13, 90, 122, 3) and clip.is_key.tolist().index(True) == 3


def test_pictures_whose_sequence_parameter_set_alone_was_lost_are_cropped_too(moving):
    data = encode_h264(moving(20, 90, 122), gop=10, options={"bf": "0"})
    first = scan(data)[0]
    assert first.type == NalType.SPS
    assert decode(data[first.end :]).clip.frames.shape[1:] == (90, 122, 3)


def test_true_pictures_repair_what_is_not_shown_too(streams, play, same_planes):
    """Later pictures predict from what is not shown: only with it are they bit-exact."""
    _, clean, damaged = streams
    truth, _ = play(decode(clean).access_units, cropped=False)
    coded = decode(damaged)
    broken = np.flatnonzero(coded.clip.status == AccessUnitStatus.BROKEN)
    assert len(broken) and all(coded.clip.planes[slot].y.shape == (96, 128) for slot in broken)
    pictures = {int(slot): truth[int(coded.clip.decode_index[slot])] for slot in broken}
    repaired, messages = play(splice_stream(coded, pictures), cropped=False)
    assert messages == [] and all(same_planes(repaired[i], truth[i]) for i in truth)
