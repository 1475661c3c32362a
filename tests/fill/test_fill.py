"""Classical fills: known motion gives the known picture."""

import numpy as np
import pytest

from b2scvr.fill.flow import extrapolate, optical_flow, warp
from b2scvr.fill.resize import resize_surroundings
from b2scvr.fill.surroundings import surroundings
from b2scvr.fill.vectors import Hypothesis, VectorField, fuse, motion_from_vectors
from b2scvr.types import CANDIDATES, AccessUnitStatus


@pytest.fixture
def picture():
    y, x = np.mgrid[0:96, 0:128]
    wave = 128 + 60 * np.sin(x / 5) + 50 * np.cos(y / 7 + x / 11)
    return np.repeat(wave[..., None], 3, axis=2).astype(np.uint8)


def test_zero_motion_is_identity(picture):
    assert np.array_equal(warp(picture, np.zeros((96, 128, 2), np.float32)), picture)


def test_whole_pixel_motion_shifts(picture):
    motion = np.broadcast_to(np.float32([3, -2]), (96, 128, 2))
    assert np.array_equal(warp(picture, motion)[2:, :-3], picture[:-2, 3:])


def test_optical_flow_finds_a_translation(picture):
    flow = optical_flow(picture, np.roll(picture, (1, 2), (0, 1)))
    assert np.abs(np.median(flow[16:-16, 16:-16], axis=(0, 1)) - [2, 1]).max() < 0.3


def test_optical_flow_of_a_tiny_picture_is_its_start():
    tiny = np.zeros((16, 16, 3), np.uint8)
    assert not optical_flow(tiny, tiny).any()


def test_constant_motion_extrapolates_to_itself():
    flow = np.broadcast_to(np.float32([4, -2]), (32, 32, 2)).copy()
    assert np.allclose(extrapolate(flow, 0.5), [2, -1], atol=1e-5)


def field(rows=8, columns=8, motion=(0, 0), weight=0.0):
    motions = np.broadcast_to(np.float32(motion), (rows, columns, 2)).copy()
    return VectorField(motions, np.full((rows, columns), weight, np.float32))


def test_without_vectors_the_hypothesis_stands():
    base = np.broadcast_to(np.float32([1, 2]), (64, 64, 2)).copy()
    assert np.allclose(fuse([Hypothesis(base, 0.5)], field()), base, atol=1e-5)


def test_heavy_vectors_win_over_a_light_hypothesis():
    base = np.zeros((64, 64, 2), np.float32)
    fused = fuse([Hypothesis(base, 0.1)], field(motion=(5, 0), weight=50.0))
    assert np.abs(fused - [5, 0]).max() < 0.1


def test_surroundings_of_a_clip_without_intact_pictures_fall_back_to_the_decoded_one(parsed_clip):
    parsed_clip.status[:] = AccessUnitStatus.BROKEN
    around = surroundings(parsed_clip, 2)
    assert all(np.array_equal(candidate, parsed_clip.frames[2]) for candidate in around.candidates)
    assert not around.motion.any() and not around.candidate_valid[1:].any()


def test_surroundings_have_a_fixed_shape_at_both_ends(parsed_clip):
    for index in (0, 3, len(parsed_clip) - 1):
        parsed_clip.status[:] = AccessUnitStatus.INTACT
        parsed_clip.status[index] = AccessUnitStatus.BROKEN
        around = surroundings(parsed_clip, index)
        assert len(around.window) == 4 and len(around.candidates) == len(CANDIDATES)
        assert np.array_equal(around.window[around.current], parsed_clip.frames[index])
        assert not around.distance[around.current] and not around.motion[around.current].any()


def test_a_steady_translation_is_filled(parsed_clip):
    truth = parsed_clip.frames[3].copy()
    parsed_clip.frames[3] = 0
    parsed_clip.status[3] = AccessUnitStatus.BROKEN
    error = np.abs(surroundings(parsed_clip, 3).fill.astype(int) - truth)[16:-16, 16:-16].mean()
    assert error < 4


def test_resized_surroundings_scale_motion_with_the_picture(parsed_clip):
    parsed_clip.status[3] = AccessUnitStatus.BROKEN
    around = surroundings(parsed_clip, 3)
    around.motion[:] = (8, 4)
    small = resize_surroundings(around, (64, 48))
    assert small.window.shape[1:3] == (48, 64) and small.evidence.shape[1:] == (3, 4)
    assert np.allclose(small.motion, (4, 2))


def test_vectors_of_leading_pictures_tell_the_motion_too(parsed_clip):
    """Picture 4 is decoded behind the key picture 5 and shown before it; behind that nothing means picture 3."""
    parsed_clip.decode_index[4:] = [5, 4]
    parsed_clip.is_reference[4] = False
    parsed_clip.mv_past_valid[4], parsed_clip.mv_past[4], parsed_clip.past_reference[4] = True, (-2, 0), 3
    parsed_clip.status[3] = AccessUnitStatus.BROKEN
    for is_key in (False, True):
        parsed_clip.is_key[5] = is_key
        found = motion_from_vectors(parsed_clip, 3, 2)
        assert found.weight[2:-2, 2:-2].min() > 0 and np.allclose(found.motion[2:-2, 2:-2], (-2, 0))
    parsed_clip.decode_index[4:] = [4, 5]
    parsed_clip.is_key[4] = True  # an IDR picture with vectors there is not, but nothing of it is asked
    assert not motion_from_vectors(parsed_clip, 3, 2).weight.any()
