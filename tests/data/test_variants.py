"""Drawn treatments: reproducible, inside their clip, of sizes that can be coded."""

from dataclasses import replace

import numpy as np
import pytest

from b2scvr.bitstream.encode import encode_h264
from b2scvr.data.camera import CameraPath
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
        taken = v.positions()
        assert taken[0] == v.start >= 0 and taken[-1] < pictures
        assert len(taken) == v.length >= 1 and (np.diff(taken) >= 1).all()
        x, y, crop_width, crop_height = v.crop
        assert x >= 0 and y >= 0 and x + crop_width <= width and y + crop_height <= height
        assert v.size[0] % 2 == 0 and v.size[1] % 2 == 0
        assert min(v.size) >= MIN_SHORT_SIDE
        assert abs(v.size[0] / v.size[1] - crop_width / crop_height) < 0.1


def test_drawn_pictures_are_those_of_the_clip(tmp_path, pictures):
    path = tmp_path / "clip.h264"
    path.write_bytes(encode_h264(pictures, crf=1))
    variant = draw_variant(clip_generator(0, "clip"), *pictures.shape[:3])
    plain = variant.__class__(**{**vars(variant), "start": 3, "length": 5, "speed": (2.0, 2.0), "reverse": True,
                                 "flip": True, "camera": None, "crop": (0, 0, 128, 96), "size": (128, 96)})  # fmt: skip
    loaded = load_variant(path, plain)
    expected = pictures[3:12:2][::-1, :, ::-1]
    assert loaded.shape == expected.shape
    assert np.abs(loaded.astype(int) - expected).mean() < 3


def test_speed_changes_evenly(pictures):
    variant = draw_variant(clip_generator(0, "clip"), *pictures.shape[:3])
    faster = replace(variant, start=2, length=5, speed=(1.0, 3.0))
    assert faster.positions().tolist() == [2, 3, 5, 7, 10]  # after 1, 1.67, 2.33 and 3 pictures
    assert replace(faster, length=1).positions().tolist() == [2]


def test_a_moving_camera_shows_its_windows(tmp_path, pictures):
    path = tmp_path / "clip.h264"
    path.write_bytes(encode_h264(pictures, crf=1))
    variant = draw_variant(clip_generator(0, "clip"), *pictures.shape[:3])
    camera = CameraPath(tuple((4.0 * k, 0.0, 64.0) for k in range(5)), 0.75)
    moving = replace(
        variant, start=0, length=9, speed=(1.0, 1.0), reverse=False, flip=False, camera=camera, size=(64, 48)
    )
    loaded = load_variant(path, moving)
    expected = np.stack([pictures[t, :48, 4 + t : 68 + t] for t in range(9)])  # a pixel on with each picture
    assert loaded.shape == expected.shape
    assert np.abs(loaded.astype(int) - expected).mean() < 3


def test_drawn_treatments_cover_what_they_may():
    drawn = [draw_variant(clip_generator(1, "clip", number), 200, 360, 640) for number in range(300)]
    assert {v.damage.partition(":")[0] for v in drawn} >= {"bscv", "rtp", "ts", "bits", "ge", "sectors", "truncate"}
    assert 0.3 < np.mean([v.camera is not None for v in drawn]) < 0.5
    assert {v.gop for v in drawn} == {8, 12, 16, 24, 32}
    wanted = {"bf", "refs", "slices", "coder", "weightp", "me_range"}
    assert all(wanted <= set(v.options) for v in drawn if v.options) and any(not v.options for v in drawn)
    still = [draw_variant(clip_generator(1, "clip", n), 200, 360, 640, {"144096": 1}, moving=0) for n in range(20)]
    assert all(v.camera is None and v.damage == "144096" for v in still)
