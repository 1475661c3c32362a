"""Motion told by how things move on the far side: a texture that moves by two pixels a picture."""

import numpy as np
import pytest

from b2scvr.fill.velocity import intact_beyond, motion_along_vectors, steady_motion
from b2scvr.types import AccessUnitStatus

STEP = 2  # pixels to the right a picture, of the texture of `parsed_clip`


@pytest.mark.parametrize("index,anchor,damaged,beyond", [
    (1, 2, (), 3), (1, 3, (), 5), (1, 2, (3,), 4), (1, 3, (5,), 4), (3, 2, (), 1), (3, 5, (), None), (1, 2, (3, 4, 5), None),
])  # fmt: skip
def test_beyond_is_intact_and_about_as_far(parsed_clip, index, anchor, damaged, beyond):
    parsed_clip.status[list(damaged)] = AccessUnitStatus.DEPENDENT
    assert intact_beyond(parsed_clip, index, anchor) == beyond


@pytest.mark.parametrize("index,anchor,beyond", [(1, 2, 3), (1, 2, 4), (4, 3, 1), (1, 3, 4)])
def test_what_moves_steadily_beyond_came_so(parsed_clip, index, anchor, beyond):
    motion = steady_motion(parsed_clip, index, anchor, beyond)
    assert motion.shape == (*parsed_clip.frames.shape[1:3], 2) and motion.dtype == np.float32
    inner = motion[16:-16, 24:-24]
    assert np.abs(inner - [STEP * (anchor - index), 0]).mean() < 0.2


def test_own_vectors_go_on(parsed_clip):
    clip = parsed_clip
    clip.mv_past[3], clip.mv_past_valid[3], clip.past_reference[3] = (-3 * STEP, 1.5), True, 0  # over three pictures
    motion = motion_along_vectors(clip, 3, 4)
    assert np.allclose(motion, [STEP, -0.5], atol=1e-5) and motion.shape == (*clip.frames.shape[1:3], 2)


def test_both_lists_are_averaged_and_holes_filled(parsed_clip):
    clip = parsed_clip
    clip.mv_past[3], clip.mv_past_valid[3], clip.past_reference[3] = (-STEP, 0), True, 2
    clip.mv_past_valid[3][4:6, 4:6] = False
    clip.mv_future[3], clip.mv_future_valid[3], clip.future_reference[3] = (3 * STEP, 0), True, 4
    clip.mv_future_valid[3][4:6, 4:6] = False
    assert np.allclose(motion_along_vectors(clip, 3, 4), [2 * STEP, 0], atol=1e-4)


def test_without_vectors_nothing_is_told(parsed_clip):
    parsed_clip.mv_past_valid[3] = parsed_clip.mv_future_valid[3] = False
    assert motion_along_vectors(parsed_clip, 3, 4) is None


def test_a_vector_into_the_other_field_of_the_picture_says_nothing(parsed_clip):
    clip = parsed_clip
    clip.mv_future_valid[3] = False
    clip.mv_past[3], clip.mv_past_valid[3], clip.past_reference[3] = (1, 1), True, 3
    assert motion_along_vectors(clip, 3, 4) is None
