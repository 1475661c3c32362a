"""Flow from vectors: known motion in, that motion out, whatever list and picture it was told by."""

import dataclasses

import numpy as np
import pytest

from b2scvr.bitstream.reader import decode
from b2scvr.bitstream.repair import restore_vectors
from b2scvr.fill.codec_flow import codec_flow, neighbour_flow
from b2scvr.types import MISSING_REFERENCE, UNKNOWN_REFERENCE, AccessUnitStatus

STEP = np.float32([6, -2])  # pixels a picture, as in the scene of these vectors


@pytest.fixture
def moving(parsed_clip):
    """Picture n refers to n - 1, and every odd one to n + 1 too; picture 0 has no vectors. All move by STEP."""
    clip = parsed_clip
    for n in range(1, len(clip)):
        clip.mv_past[n], clip.mv_past_valid[n], clip.past_reference[n] = -STEP, True, n - 1
        if n % 2 and n + 1 < len(clip):
            clip.mv_future[n], clip.mv_future_valid[n], clip.future_reference[n] = STEP, True, n + 1
    clip.is_reference[:] = True
    return clip


def test_a_translation_is_told_exactly(moving):
    flow = codec_flow(moving, 0, 6)
    assert flow.shape == (2, 5, 3, 12, 16) and flow.dtype == np.float32
    assert (flow[0, 1:, :2] == STEP[:, None, None]).all() and (flow[1, :, :2] == -STEP[:, None, None]).all()
    assert (flow[:, 1:, 2] == 1).all()
    assert codec_flow(moving, 2, 1).shape == (2, 0, 3, 12, 16)


def test_vectors_to_farther_pictures_are_scaled_and_the_nearest_wins(moving):
    moving.mv_past[3], moving.past_reference[3] = -3 * STEP, 0
    assert (neighbour_flow(moving, 3, 2)[:2] == -STEP[:, None, None]).all()
    moving.mv_past[3] = 99  # the other list leads to the very picture
    assert (neighbour_flow(moving, 3, 4)[:2] == STEP[:, None, None]).all()


def test_an_intra_picture_is_told_by_those_that_refer_to_it(moving):
    field = neighbour_flow(moving, 0, 1)
    known = field[2] > 0
    assert known.mean() > 0.5
    np.testing.assert_allclose(field[:2, known], np.broadcast_to(STEP[:, None], (2, known.sum())), atol=1e-4)


def test_a_broken_picture_is_told_by_the_others_and_not_by_itself(moving):
    moving.status[3] = AccessUnitStatus.BROKEN
    moving.mv_past[3], moving.mv_future[3] = 50, 50
    for target, wanted in ((2, -STEP), (4, STEP)):
        field = neighbour_flow(moving, 3, target)
        known = field[2] > 0
        assert known.mean() > 0.5
        np.testing.assert_allclose(field[:2, known], np.broadcast_to(wanted[:, None], (2, known.sum())), atol=1e-3)


@pytest.mark.parametrize("reference", [MISSING_REFERENCE, UNKNOWN_REFERENCE])
def test_unknown_references_are_guessed_and_missing_ones_left_out(moving, reference):
    moving.past_reference[2] = reference
    field = neighbour_flow(dataclasses.replace(moving, status=moving.status), 2, 1)
    assert (field[2] == 1).all() if reference == UNKNOWN_REFERENCE else (field[:2, field[2] == 0] == 0).all()


def test_pictures_that_are_not_there_are_refused(moving):
    with pytest.raises(ValueError, match="pictures 4 to 7 are asked for, the clip has 6"):
        codec_flow(moving, 4, 4)


def test_a_stream_of_a_moving_texture(clean_stream, damaged_stream):
    """Content moves 2 left and 1 up a picture; x264's vectors say so, next to the damage too."""
    for stream in (clean_stream, damaged_stream):
        coded = decode(stream)
        restore_vectors(coded, decode)
        flow = codec_flow(coded.clip, 0, len(coded.clip))
        known = flow[:, :, 2] > 0
        assert known.mean() > 0.8
        error = np.abs(flow[:, :, :2] - np.float32([[-2, -1], [2, 1]])[:, None, :, None, None]).max(2)[known]
        assert (error <= 0.25).mean() > 0.85, (error <= 0.25).mean()
