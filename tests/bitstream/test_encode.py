"""The encoder's settings: one slice a picture, GOPs, sizes, repeatability."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest

from b2scvr.bitstream.encode import encode_h264, encode_video
from b2scvr.bitstream.nal import NalType, scan
from b2scvr.bitstream.reader import decode
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


def test_what_is_decoded_is_what_was_encoded(moving):
    pictures = moving(6, 58, 106, noise=0)[..., :1].repeat(3, axis=3)  # grey: 4:2:0 takes no detail from it
    clip = decode(encode_h264(pictures, crf=5)).clip
    assert clip.frames.shape == pictures.shape
    assert np.abs(clip.frames.astype(int) - pictures).mean() < 2


def test_an_odd_size(moving):
    with pytest.raises(ValueError, match="even size"):
        encode_h264(moving(1, 33, 48))
    clip = decode(encode_h264(moving(1, 33, 47), crop_odd=True)).clip
    assert clip.frames.shape == (1, 32, 46, 3)


@pytest.mark.parametrize(("fps", "rate"), [(25.0, 25), (12.5, Fraction(25, 2)), (29.97002997, Fraction(30000, 1001))])
def test_frame_rate(fps, rate, moving):
    assert _frame_rate(encode_h264(moving(2, 32, 32), fps=fps)) == rate


def test_wrong_arguments(moving):
    with pytest.raises(ValueError, match="no picture"):
        encode_h264([])
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
