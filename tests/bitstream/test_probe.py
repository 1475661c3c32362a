"""What the decoder's silence about the row that was never sent is worth, against what it says when it conceals that row."""

import av.logging
import numpy as np
import pytest

from b2scvr.bitstream import probe as probing
from b2scvr.bitstream.access_units import split_access_units
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.logs import printing_at
from b2scvr.bitstream.nal import scan
from b2scvr.bitstream.reference_lists import slice_references

ROW = 8  # macroblocks of the pictures of `moving` from side to side


def asked(units, rows):
    """Ask with `rows` rows left alone; return (answers, missing macroblocks of each)."""
    with printing_at(av.logging.INFO):
        answers = probing._ask(units, slice_references(units), rows)
    return answers, answers and [answer.missing for answer in answers]


@pytest.fixture
def units(moving):
    """Access units of a stream in which all macroblocks of the last picture are skipped."""
    frames = moving(8)
    frames[-1] = frames[-2]
    return split_access_units(encode_h264(frames, gop=8, options={"bf": "0", "refs": "2", "crf": "40"}))[0]


def test_silence_says_the_same_as_concealment(units):
    (silent, missing), (loud, told) = asked(units, 1), asked(units, 0)
    assert missing == told == [ROW] * len(units)
    chosen = [index for index, answer in enumerate(loud) if answer.cells is not None]
    assert chosen
    for index in chosen:
        assert np.array_equal(silent[index].cells[:, :-2], loud[index].cells[:, :-2])


def test_a_cut_picture_is_told_of_and_its_row_made_black_for_the_next(units):
    units[3] = units[3][: len(units[3]) * 2 // 3]
    (_, missing), (_, told) = asked(units, 1), asked(units, 0)
    assert missing == told
    assert told[3] > ROW
    assert told[4:] == [ROW] * 4


def test_a_slice_that_comes_twice_makes_silence_ambiguous(units):
    nal = next(nal for nal in scan(units[3]) if nal.is_slice)
    units[3] += units[3][nal.start : nal.end]
    assert asked(units, 1)[0] is None
    with printing_at(av.logging.INFO):
        loud = probing._ask(units, slice_references(units), 0)
    assert [a.missing for a in probing.probe(units, slice_references(units))] == [a.missing for a in loud]


def test_a_picture_that_goes_on_into_the_row_is_not_taken_for_a_silent_one(units, monkeypatch):
    monkeypatch.setattr(probing, "_taller", lambda rbsp: rbsp)  # all that the decoder looks for was sent
    last, first = asked(units, 1), asked(units, 0)
    assert last[0] is None
    assert first[1] == [0] * len(units)
    assert all(answer.unread for answer in first[0])


def test_no_access_units_no_answers():
    assert probing.probe([], []) == []
