"""RGB and 4:2:0 samples: known colours, the round trip through libswscale's conversion, and merging."""

import av
import cv2
import numpy as np
import pytest

from b2scvr.bitstream.planes import colour_of, merge_planes, planes_from_frame, planes_to_rgb, rgb_to_planes
from b2scvr.types import Planes


def _psnr(first, second):
    return 10 * np.log10(255**2 / max(np.square(first.astype(float) - second).mean(), 1e-9))


def _planes(height=58, width=106, seed=0):
    rng = np.random.default_rng(seed)
    smooth = [
        cv2.GaussianBlur(rng.normal(0, 1, size).astype(np.float32), (0, 0), 2)
        for size in ((height, width), (height // 2, width // 2), (height // 2, width // 2))
    ]
    y, u, v = (
        np.clip(np.rint(mean + spread * plane / np.abs(plane).max()), 16, 235).astype(np.uint8)
        for plane, mean, spread in zip(smooth, (120, 128, 128), (70, 30, 30), strict=True)
    )
    return Planes(y, u, v)


@pytest.mark.parametrize(
    ("colour", "matrix", "full_range", "expected"),
    [
        ((0, 0, 0), "bt601", False, (16, 128, 128)),
        ((255, 255, 255), "bt601", False, (235, 128, 128)),
        ((255, 255, 255), "bt601", True, (255, 128, 128)),
        ((255, 0, 0), "bt601", False, (81, 90, 240)),  # BT.601 colour bars
        ((0, 0, 255), "bt601", False, (41, 240, 110)),
        ((255, 0, 0), "bt709", False, (63, 102, 240)),  # BT.709 colour bars
        ((0, 255, 0), "bt709", False, (173, 42, 26)),
        ((255, 0, 0), "bt601", True, (76, 85, 255)),
    ],
)
def test_known_colours(colour, matrix, full_range, expected):
    planes = rgb_to_planes(np.full((16, 32, 3), colour, np.uint8), matrix, full_range)
    for plane, value in zip((planes.y, planes.u, planes.v), expected, strict=True):
        assert np.abs(plane.astype(int) - value).max() <= 2  # libswscale's own conversion is as coarse as that


@pytest.mark.parametrize("matrix", ["bt601", "bt709", "bt2020", "smpte240m"])
@pytest.mark.parametrize("full_range", [False, True])
def test_round_trip(matrix, full_range):
    planes = _planes()
    back = rgb_to_planes(planes_to_rgb(planes, matrix, full_range), matrix, full_range)
    assert _psnr(back.y, planes.y) > 62 and _psnr(back.u, planes.u) > 55 and _psnr(back.v, planes.v) > 55
    assert abs(back.y.astype(float).mean() - planes.y.mean()) < 0.05  # not systematically darker


def test_frame_to_planes_and_colour():
    planes = _planes()
    frame = av.VideoFrame.from_ndarray(np.zeros((58 * 3 // 2, 106), np.uint8), format="yuv420p")
    assert colour_of(frame) == ("bt601", False)
    for plane, samples in zip(frame.planes, (planes.y, planes.u, planes.v), strict=True):
        lines = np.full((samples.shape[0], plane.line_size), 99, np.uint8)
        lines[:, : samples.shape[1]] = samples
        plane.update(lines.tobytes())
    frame.colorspace, frame.color_range = 1, 2
    assert colour_of(frame) == ("bt709", True)
    taken = planes_from_frame(frame)
    for name in "yuv":
        assert np.array_equal(getattr(taken, name), getattr(planes, name))
    assert np.array_equal(frame.to_ndarray(format="rgb24"), planes_to_rgb(planes, "bt709", True))
    with pytest.raises(ValueError, match="rgb24"):
        planes_from_frame(av.VideoFrame(16, 16, "rgb24"))


def test_merge_takes_whole_macroblocks_and_edits_nothing():
    decoded, restored = _planes(seed=1), _planes(seed=2)
    kept = [plane.copy() for plane in (decoded.y, decoded.u, restored.y)]
    macroblocks = np.zeros((4, 7), bool)
    macroblocks[1, 2] = macroblocks[3, 6] = True
    merged = merge_planes(decoded, restored, macroblocks)
    assert np.array_equal(merged.y[16:32, 32:48], restored.y[16:32, 32:48])
    assert np.array_equal(merged.u[8:16, 16:24], restored.u[8:16, 16:24])
    assert np.array_equal(merged.v[24:, 48:], restored.v[24:, 48:])
    outside = ~macroblocks.repeat(16, 0).repeat(16, 1)[:58, :106]
    assert np.array_equal(merged.y[outside], decoded.y[outside])
    half = ~macroblocks.repeat(8, 0).repeat(8, 1)[:29, :53]
    assert np.array_equal(merged.u[half], decoded.u[half]) and np.array_equal(merged.v[half], decoded.v[half])
    merged.y[:] = 0
    for before, after in zip(kept, (decoded.y, decoded.u, restored.y), strict=True):
        assert np.array_equal(before, after)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="uint8"):
        rgb_to_planes(np.zeros((16, 16, 3), np.float32), "bt601", False)
    with pytest.raises(ValueError, match="bt601"):
        rgb_to_planes(np.zeros((16, 16, 3), np.uint8), "xyz", False)
    with pytest.raises(ValueError, match="belong together"):
        merge_planes(_planes(), _planes(), np.zeros((3, 7), bool))
