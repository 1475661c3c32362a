"""Doubts and damage handed on along references."""

import copy

import numpy as np
import pytest

from b2scvr.bitstream.assembly import blank_clip
from b2scvr.bitstream.damage_trace import trace_damage
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.probe import probe
from b2scvr.bitstream.reader import decode
from b2scvr.bitstream.reference_lists import slice_references
from b2scvr.bitstream.references import add_references
from b2scvr.types import UNKNOWN_REFERENCE, AccessUnitStatus, PictureType

OK, BROKEN, DEPENDENT = AccessUnitStatus.INTACT, AccessUnitStatus.BROKEN, AccessUnitStatus.DEPENDENT


@pytest.fixture
def clip():
    """I P P P P, the right half of each predicted from the picture before; each is a reference."""
    clip = blank_clip(np.zeros((5, 32, 64, 3), np.uint8), 25.0, "h264", "")
    clip.picture_type[:] = [PictureType.I, *[PictureType.P] * 4]
    clip.decode_index[:], clip.is_key[0] = np.arange(5), True
    clip.mv_past_valid[1:, :, 4:] = True
    for t in range(1, 5):
        clip.past_reference[t] = t - 1
    return clip


def test_damage_goes_where_the_vectors_lead(clip):
    clip.status[1], clip.concealed[1, :, :2] = BROKEN, True  # the left half: nobody reads it
    trace_damage(clip)
    assert clip.status.tolist() == [OK, BROKEN, DEPENDENT, DEPENDENT, DEPENDENT]  # what it reads of a broken one counts
    assert clip.damage_trace[1, :, :2].all() and not clip.damage_trace[2:].any()


def test_what_predicts_from_a_doubted_picture_is_doubted(clip):
    doubted = np.arange(5) == 2
    trace_damage(clip, doubted)  # nothing is damaged and nothing says so yet
    assert (clip.status == OK).all()
    clip.status[2] = DEPENDENT
    trace_damage(clip, doubted)
    assert clip.status.tolist() == [OK, OK, DEPENDENT, DEPENDENT, DEPENDENT]
    assert not clip.damage_trace.any()  # where, nobody knows


def test_what_predicts_from_a_key_picture_is_not(clip):
    clip.is_key[3], clip.mv_past_valid[3] = True, False
    clip.status[2], clip.past_reference[4] = DEPENDENT, UNKNOWN_REFERENCE
    trace_damage(clip, np.arange(5) == 2)
    assert clip.status.tolist() == [OK, OK, DEPENDENT, OK, OK]


@pytest.mark.parametrize("lost, doubted", [(False, []), (True, [7, 8, 9, 10, 11])])
def test_lists_that_a_garbage_header_is_part_of_are_doubted(moving, lost, doubted):
    """The header of access unit 7 can be read, but no picture came of it: up to the next IDR picture all lists are doubtful."""
    options = {"bf": "0", "refs": "3", "weightp": "0"}
    coded = decode(encode_h264(moving(20), gop=12, options=options))
    clip, references = copy.deepcopy(coded.clip), slice_references(coded.access_units)
    if lost:
        clip.lost[7], clip.status[7] = True, AccessUnitStatus.LOST
    add_references(clip, references, probe(coded.access_units, references))
    assert np.flatnonzero(clip.status).tolist() == doubted
