"""Drawn treatments: reproducible, inside their clip, of sizes that can be coded."""

import numpy as np
import pytest

from b2scvr.bitstream.encode import encode_h264
from b2scvr.data.variants import MIN_SHORT_SIDE, clip_generator, draw_variant, load_variant


def test_the_same_seed_clip_and_round_give_the_same_variant():
    drawn = [draw_variant(clip_generator(3, "a.mp4", 1), 200, 360, 640) for _ in range(2)]
    others = [
        draw_variant(clip_generator(*key), 200, 360, 640) for key in ((4, "a.mp4", 1), (3, "b.mp4", 1), (3, "a.mp4", 2))
    ]
    assert drawn[0] == drawn[1]
    assert all(other != drawn[0] for other in others)


@pytest.mark.parametrize("shape", [(19, 360, 640), (300, 640, 360), (60, 272, 640), (24, 96, 128), (1, 288, 352)])
def test_variants_stay_inside_the_clip_and_can_be_coded(shape):
    pictures, height, width = shape
    for number in range(50):
        v = draw_variant(clip_generator(0, "clip", number), pictures, height, width)
        assert v.start >= 0 and v.start + (v.length - 1) * v.stride < pictures
        assert v.length >= 1
        x, y, crop_width, crop_height = v.crop
        assert x >= 0 and y >= 0 and x + crop_width <= width and y + crop_height <= height
        assert v.size[0] % 2 == 0 and v.size[1] % 2 == 0
        assert min(v.size) >= MIN_SHORT_SIDE
        assert abs(v.size[0] / v.size[1] - crop_width / crop_height) < 0.1


def test_drawn_pictures_are_those_of_the_clip(tmp_path, pictures):
    path = tmp_path / "clip.h264"
    path.write_bytes(encode_h264(pictures, crf=1))
    variant = draw_variant(clip_generator(0, "clip"), *pictures.shape[:3])
    plain = variant.__class__(**{**vars(variant), "start": 3, "length": 5, "stride": 2, "reverse": True, "flip": True,
                                 "crop": (0, 0, 128, 96), "size": (128, 96)})  # fmt: skip
    loaded = load_variant(path, plain)
    expected = pictures[3:12:2][::-1, :, ::-1]
    assert loaded.shape == expected.shape
    assert np.abs(loaded.astype(int) - expected).mean() < 3
