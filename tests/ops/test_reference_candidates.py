"""Which pictures a block may be predicted from, as the stream leaves it open."""

import numpy as np
import pytest

from b2scvr.bitstream.assembly import blank_clip
from b2scvr.ops.drift import NO_CANDIDATE, UNUSED
from b2scvr.ops.reference_candidates import implicit_weights, reference_candidates
from b2scvr.types import MISSING_REFERENCE, AccessUnitStatus, Partition, PictureType, PredictionMode


@pytest.fixture
def clip():
    """I P B P in display order, decoded I P(3) B(2)... : 0, 1, 3, 2; every cell of the last three has a past vector."""
    clip = blank_clip(np.zeros((4, 32, 48, 3), np.uint8), 25.0, "h264", "")
    clip.picture_type[:] = [PictureType.I, PictureType.P, PictureType.B, PictureType.P]
    clip.decode_index[:] = [0, 1, 3, 2]
    clip.is_reference[2] = False
    clip.mv_past_valid[1:] = True
    clip.mv_past[1:] = 1.5
    return clip


def at(candidates, row=0, column=0):
    return [[int(name) for name in side if name != NO_CANDIDATE] for side in candidates[:, :, row, column]]


def test_what_the_stream_tells_is_the_only_candidate(clip):
    clip.past_reference[3] = 0
    assert at(reference_candidates(clip, 3)) == [[0], [UNUSED]]


@pytest.mark.parametrize("told", [-1, MISSING_REFERENCE])
def test_unknown_references_are_those_held_nearest_first(clip, told):
    clip.past_reference[:] = told
    assert at(reference_candidates(clip, 3)) == [[1, 0], [UNUSED]]
    clip.is_key[1] = True  # nothing reaches beyond an IDR picture
    assert at(reference_candidates(clip, 3)) == [[1], [UNUSED]]


def test_what_is_shown_before_a_key_picture_may_reach_beyond_it(clip):
    """Picture 2 is decoded behind picture 3 and shown before it: a leading picture of a recovery point."""
    clip.mv_future_valid[2], clip.is_key[3] = True, True
    assert at(reference_candidates(clip, 2)) == [[1, 0], [3]]


def test_a_side_without_pictures_looks_to_the_other(clip):
    clip.mv_future_valid[3] = True
    assert at(reference_candidates(clip, 3)) == [[1, 0], [1, 0]]


def test_mpeg_pictures_refer_to_the_nearest_on_each_side_that_arrived(clip):
    clip.codec = "mpeg2video"
    clip.is_reference[:] = True
    clip.mv_future_valid[2] = True
    assert at(reference_candidates(clip, 2)) == [[1], [3]]
    clip.lost[1] = True
    assert at(reference_candidates(clip, 2)) == [[1, 0], [3]]


def test_cells_that_the_decoder_invented_in_a_broken_picture_tell_nothing(clip):
    clip.past_reference[3] = 1
    clip.status[3] = AccessUnitStatus.BROKEN
    clip.concealed[3, 1, 2] = True
    candidates = reference_candidates(clip, 3)
    assert at(candidates, 3, 5) == [[UNUSED], [UNUSED]] and at(candidates, 3, 3) == [[1], [UNUSED]]


def test_a_zero_vector_of_a_split_macroblock_may_belong_to_a_list_that_is_not_used(clip):
    clip.mv_future_valid[2] = True
    clip.past_reference[2], clip.future_reference[2] = 1, 3
    clip.past_reference[2, 0, 5] = 0
    assert at(reference_candidates(clip, 2)) == [[1], [3]]
    clip.mode[2], clip.partition[2] = PredictionMode.BOTH, Partition.ROWS
    assert at(reference_candidates(clip, 2)) == [[1, 1, 0], [3, UNUSED]]  # the past may then be another picture too
    clip.mv_future[2] = 0.25
    assert at(reference_candidates(clip, 2)) == [[1], [3]]


def test_implicit_weights_follow_the_distances():
    """Clause 8.4.2.3.1: a picture a third of the way from past to future takes two thirds of the past, in 64ths."""
    reference = np.zeros((2, 1, 3), np.int64)
    reference[:, 0, 0], reference[:, 0, 1], reference[:, 0, 2] = (0, 3), (0, 2), (0, 0)
    weight = np.full((2, 1, 3), 0.5, np.float32)
    weight[:, 0, 2] = (1, 0)
    found = implicit_weights(1, reference, weight)
    assert found[:, 0, 0].tolist() == [43 / 64, 21 / 64]
    assert found[:, 0, 1].tolist() == [0.5, 0.5]
    assert found[:, 0, 2].tolist() == [1, 0]  # one list only: as it was
