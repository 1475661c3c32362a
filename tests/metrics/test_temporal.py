"""The warping error: nothing for what moves as the clean video does, the known value for a flicker."""

import cv2
import numpy as np
import pytest

from b2scvr.metrics.temporal import WarpingError, visible_motion


def panning(pictures=4, step=3, height=96, width=128):
    """A smooth texture that moves to the left by whole pixels."""
    rng = np.random.default_rng(0)
    wide = cv2.GaussianBlur(rng.normal(0, 1, (height, width + pictures * step, 3)), (0, 0), 4)
    wide = np.clip(128 + 40 * wide / wide.std(), 0, 255).astype(np.uint8)
    return np.stack([wide[:, t * step : t * step + width] for t in range(pictures)])


def test_a_pure_translation_has_no_error_and_its_motion_is_seen():
    clip = panning()
    motion, visible = visible_motion(clip[1], clip[0])
    assert motion[visible].mean(axis=0) == pytest.approx([3, 0], abs=0.05)
    assert not visible[:, -2:].any(), "what has left the picture is not seen"
    assert visible[20:-20, 20:-20].mean() > 0.95
    assert WarpingError(clip).pairs(clip) == pytest.approx(np.zeros(3), abs=1e-5)


def test_a_still_clip_has_none_at_all():
    still = np.repeat(panning(1), 3, axis=0)
    assert not WarpingError(still).pairs(still).any()


def test_a_flicker_has_the_known_error():
    still = np.repeat(np.minimum(panning(1), 200), 3, axis=0)
    flicker = still.copy()
    flicker[1] += 10
    expected = 3 * (10 / 255) ** 2
    assert WarpingError(still).pairs(flicker) == pytest.approx([expected, expected])


def test_damage_that_stands_still_while_the_video_moves_is_an_error():
    clip = panning()
    stuck = clip.copy()
    stuck[:, 30:60, 40:80] = clip[0, 30:60, 40:80]
    assert (WarpingError(clip).pairs(stuck) > 1e-3).all()


def test_what_is_covered_in_the_next_picture_does_not_count():
    clip = np.repeat(panning(1), 2, axis=0)
    patch = 255 - clip[0, 10:50, :40]
    for t, left in enumerate((40, 52)):
        clip[t, 30:70, left : left + 40] = patch
    _, visible = visible_motion(clip[0], clip[1])
    covered = visible[34:66, 82:90]
    assert covered.mean() < 0.3 and visible[:20].mean() > 0.95 and visible[40:60, 50:70].mean() > 0.95


def test_one_picture_has_no_pairs_and_other_clips_are_refused():
    clip = panning()
    assert WarpingError(clip[:1]).pairs(clip[:1]).shape == (0,)
    with pytest.raises(ValueError, match="do not match"):
        WarpingError(clip).pairs(clip[1:])
