"""The encoder's settings: one slice a picture, GOPs, sizes, repeatability."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest

from b2scvr.bitstream.encode import encode_h264, encode_video
from b2scvr.bitstream.nal import NalType, scan
from b2scvr.bitstream.reader import decode
from b2scvr.bitstream.slice_header import parse_slice_header
from b2scvr.bitstream.syntax import ParameterSets
from b2scvr.types import InputError


def _frame_rate(stream):
    with av.open(io.BytesIO(stream), format="h264") as container:
        return container.streams.video[0].codec_context.framerate


def test_one_slice_a_picture_and_a_key_picture_every_gop(moving):
    stream = encode_h264(moving(20, 48, 64), gop=8)
    slices = [nal for nal in scan(stream) if nal.is_slice]
    assert len(slices) == 20 and [i for i, nal in enumerate(slices) if nal.type == NalType.IDR] == [0, 8, 16]
    assert sum(nal.type == NalType.SPS for nal in scan(stream)) == 3
    assert any(nal.ref_idc == 0 for nal in slices)  # B pictures


def test_the_same_input_gives_the_same_bytes(moving):
    pictures = moving(6, 48, 64)
    assert encode_h264(pictures) == encode_h264(pictures) == encode_h264(iter(pictures))
    assert len(encode_h264(pictures, crf=40)) < len(encode_h264(pictures, crf=20))


def _headers(stream):
    """The SPS, the PPS and the slice headers of a stream."""
    sets = ParameterSets()
    sets.update(stream)
    slices = [parse_slice_header(stream[nal.payload : nal.end], sets) for nal in scan(stream) if nal.is_slice]
    return *sets.of_slice(slices[0].pps_id), slices


@pytest.mark.parametrize(
    ("pix_fmt", "size", "profile", "chroma", "depth"),
    [
        ("yuv420p", (46, 62), 100, 1, 8),
        ("yuv422p", (45, 62), 122, 2, 8),
        ("yuv444p", (45, 61), 244, 3, 8),
        ("gray", (45, 61), 100, 0, 8),
        ("yuv420p10le", (46, 62), 110, 1, 10),
        ("yuv422p10le", (45, 62), 122, 2, 10),
        ("yuv444p10le", (45, 61), 244, 3, 10),
    ],
)
def test_chroma_formats_bit_depths_and_the_sizes_that_they_hold(pix_fmt, size, profile, chroma, depth, moving):
    sps, _, slices = _headers(encode_h264(moving(3, *size), pix_fmt=pix_fmt))
    assert (sps.profile_idc, sps.chroma_format_idc, sps.bit_depth_luma, sps.size) == (profile, chroma, depth, size)
    assert len(slices) == 3 and any(sps.crop)
    odd = encode_h264(moving(1, 33, 33), crop_odd=True, pix_fmt=pix_fmt)
    assert _headers(odd)[0].size == (33 - (chroma == 1), 33 - (chroma in (1, 2)))


def test_kinds_of_streams(moving):
    pictures = moving(12, 48, 64, noise=4)

    def headers(**options):
        return _headers(encode_h264(pictures, gop=4, options=options))

    _, pps, slices = headers(coder="cavlc", bf="0", weightp="0", **{"x264-params": "8x8dct=0"})
    assert not pps.cabac and not pps.transform_8x8_mode and not pps.weighted_pred and {s.kind for s in slices} == {0, 2}
    _, pps, slices = headers(weightp="2", bf="2")
    assert pps.cabac and pps.transform_8x8_mode and pps.weighted_pred and pps.weighted_bipred_idc == 2
    assert {s.kind for s in slices} == {0, 1, 2} and len(slices) == 12
    assert len(headers(slices="3")[2]) == 36
    slices = headers(**{"x264-params": "open-gop=1:bframes=2:b-adapt=0"})[2]
    assert sum(s.is_idr for s in slices) == 1 and sum(s.kind == 2 for s in slices) > 1
    sps = headers(**{"x264-params": "crop-rect=2,4,6,8"})[0]
    assert sps.crop == (2, 6, 4, 8) and sps.size == (36, 56)


def test_interlaced_pictures_in_frames(moving):
    sps, _, slices = _headers(encode_h264(moving(3, 48, 64), options={"x264-params": "tff=1"}))
    assert not sps.frame_mbs_only and not any(s.field_pic for s in slices) and sps.height_map_units == 2
    with av.open(io.BytesIO(encode_h264(moving(2, 48, 64), options={"x264-params": "tff=1"}))) as container:
        assert all(frame.interlaced_frame for frame in container.decode(video=0))


def test_settings_that_x264_refuses(moving):
    with pytest.raises(ValueError, match="x264 refuses these settings: 64x46"):
        encode_h264(moving(1, 46, 64), options={"x264-params": "tff=1"})
    with pytest.raises(ValueError, match="not a pixel format"):
        encode_h264(moving(1, 48, 64), pix_fmt="nonsense")


def test_what_is_decoded_is_what_was_encoded(moving):
    pictures = moving(6, 58, 106, noise=0)[..., :1].repeat(3, axis=3)  # grey: 4:2:0 takes no detail from it
    clip = decode(encode_h264(pictures, crf=5)).clip
    assert clip.frames.shape == pictures.shape
    assert np.abs(clip.frames.astype(int) - pictures).mean() < 2


def test_an_odd_size(moving):
    with pytest.raises(ValueError, match="even height"):
        encode_h264(moving(1, 33, 48))
    clip = decode(encode_h264(moving(1, 33, 47), crop_odd=True)).clip
    assert clip.frames.shape == (1, 32, 46, 3)


@pytest.mark.parametrize(("fps", "rate"), [(25.0, 25), (12.5, Fraction(25, 2)), (29.97002997, Fraction(30000, 1001))])
def test_frame_rate(fps, rate, moving):
    assert _frame_rate(encode_h264(moving(2, 32, 32), fps=fps)) == rate


def test_wrong_arguments(moving):
    with pytest.raises(ValueError, match="no picture"):
        encode_h264([])
    with pytest.raises(ValueError, match="no option 'slces'"):
        encode_h264(moving(1, 32, 32), options={"slces": "4"})
    with pytest.raises(ValueError, match="gop"):
        encode_h264(moving(1, 32, 32), gop=0)
    with pytest.raises(ValueError, match="uint8"):
        encode_h264(np.zeros((1, 32, 32, 3), np.float32))
    with pytest.raises(ValueError, match="in one clip"):
        encode_h264([*moving(1, 32, 32), *moving(1, 32, 48)])


def test_a_video_file(moving, tmp_path):
    source = tmp_path / "clip.h264"
    source.write_bytes(encode_h264(moving(5, 48, 64), fps=30))
    encoded = encode_video(source, size=(32, 24))
    assert decode(encoded).clip.frames.shape == (5, 24, 32, 3) and _frame_rate(encoded) == 30
    assert encode_video(source) == encode_video(source)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"nothing")
    for path in (broken, tmp_path / "missing.mp4"):
        with pytest.raises(InputError, match=path.name):
            encode_video(path)
