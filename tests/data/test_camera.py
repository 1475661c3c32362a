"""A camera path: smooth, inside the picture; windows resampled at fractions of a pixel."""

import numpy as np
import pytest

from b2scvr.data.camera import CameraPath, draw_path, film


def ramp(height=48, width=64):
    """A picture whose red is its column and whose green is its row, times 3."""
    rows, columns = np.mgrid[:height, :width] * 3
    return np.stack((columns, rows, np.zeros_like(rows)), axis=-1).astype(np.uint8)[None]


def test_a_window_of_whole_pixels_is_cut_out():
    frame = np.random.default_rng(0).integers(0, 256, (1, 48, 64, 3), dtype=np.uint8)
    assert np.array_equal(film(frame, np.array([[0, 0, 64, 48]]), (64, 48)), frame)
    assert np.array_equal(film(frame, np.array([[16, 8, 32, 24]]), (32, 24)), frame[:, 8:32, 16:48])


@pytest.mark.parametrize(
    ("window", "first", "step"),
    [
        ((10.5, 4.25, 32, 24), (31.5, 12.75), 3),  # half and a quarter of a pixel on
        ((8, 8, 16, 12), (23.25, 23.25), 1.5),  # twice as large: samples lie a quarter of a pixel inside
        ((8, 8, 48, 36), (24.75, 24.75), 4.5),  # smaller
    ],
)
def test_a_slope_is_sampled_where_the_window_lies(window, first, step):
    shown = film(ramp(), np.array([window]), (32, 24))[0].astype(float)
    inner = shown[4:-4, 4:-4]
    rows, columns = np.mgrid[4:20, 4:28]
    assert np.abs(inner[..., 0] - (first[0] + step * columns)).max() <= 1
    assert np.abs(inner[..., 1] - (first[1] + step * rows)).max() <= 1


def test_what_is_finer_than_the_window_s_pixels_is_gone():
    stripes = np.zeros((1, 48, 64, 3), np.uint8)
    stripes[:, :, ::2] = 255
    shown = film(stripes, np.array([[0.5, 0.5, 60, 45]]), (24, 18))
    assert np.ptp(shown[0, 4:-4, 4:-4]) < 60


def test_equal_control_points_stand_still_and_a_line_of_them_is_even():
    still = CameraPath(((3.0, 2.0, 40.0),) * 4, 0.5).windows(5)
    assert np.allclose(still, [3, 2, 40, 20])
    line = CameraPath(tuple((4.0 * k, 2.0 * k, 40.0) for k in range(5)), 0.5).windows(9)
    assert np.allclose(np.diff(line[:, 0]), 1) and np.allclose(line[0, 0], 4) and np.allclose(line[-1, 0], 12)
    assert CameraPath(((3.0, 2.0, 40.0),) * 4, 0.5).windows(1).shape == (1, 4)


@pytest.mark.parametrize("source", [(640, 360), (360, 640), (352, 288)])
def test_drawn_paths_stay_inside_and_are_smooth(source):
    moved = []
    for seed in range(25):
        path = draw_path(np.random.default_rng(seed), source, (320, 192), 1.15)
        assert path == draw_path(np.random.default_rng(seed), source, (320, 192), 1.15)
        left, top, width, height = path.windows(50).T
        assert min(left.min(), top.min()) > -1e-9
        assert (left + width).max() < source[0] + 1e-9 and (top + height).max() < source[1] + 1e-9
        assert np.allclose(height / width, 192 / 320) and width.min() >= 320 / 1.15 - 1e-9
        moved.append(np.ptp(left) + np.ptp(width))
        bends = np.abs(np.diff(path.windows(300)[:, 0], n=2)).max()
        assert bends < 0.03 * (np.ptp(left) + 1)
    assert np.mean(np.array(moved) > 5) > 0.8
