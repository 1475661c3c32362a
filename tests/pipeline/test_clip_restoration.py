"""Frames mode with a restorer that takes whole clips: which masks it is given, and what becomes of its pictures."""

import numpy as np
import pytest

from b2scvr.bitstream import reader
from b2scvr.pipeline import Pipeline
from b2scvr.types import AccessUnitStatus, PictureDamage


class Everything:
    """Finds every damaged picture wholly wrong; knows the clean clip and puts it back, clip by clip."""

    def __init__(self, clean):
        self.clean = clean
        self.masks = None

    def detect(self, surroundings):
        size = surroundings.decoded.shape[:2]
        return PictureDamage(np.ones(surroundings.concealed.shape, np.float32), np.ones(size, np.float32), 0.5)

    def restore_clips(self, clips, size):
        self.size = size
        for shown in clips:
            self.masks = shown.masks
            yield from np.where(shown.masks[..., None] > 0, self.clean, shown.clip.frames)[shown.own]

    def notes(self, clip):
        return ("all is known",)


@pytest.fixture(scope="module")
def coded(damaged_stream):
    return reader.decode(damaged_stream)


def test_detected_masks_go_to_the_restorer_of_clips(coded, pictures):
    known = Everything(pictures)
    recovered = Pipeline(known, known, mode="frames", size=(64, 48)).recover(coded)
    damaged = coded.clip.status != AccessUnitStatus.INTACT
    assert np.array_equal(known.masks.any(axis=(1, 2)), damaged) and known.size == (64, 48)
    assert recovered.mode == "frames" and recovered.restored == tuple(np.flatnonzero(damaged))
    assert np.array_equal(recovered.frames[damaged], pictures[damaged])
    assert np.array_equal(recovered.frames[~damaged], coded.clip.frames[~damaged])
    assert recovered.notes == (*coded.clip.notes, "all is known")
    assert (recovered.masks.confidence[damaged] == 0.5).all() and recovered.seconds["recover"] >= 0


def test_given_masks_go_to_the_restorer_of_clips(coded, pictures):
    known = Everything(pictures)
    masks = np.zeros(coded.clip.frames.shape[:3], np.uint8)
    masks[3, 10:20, 5:30] = 1
    before = coded.clip.frames.copy()
    recovered = Pipeline(known, known).recover(coded, masks)
    assert recovered.restored == (3,)
    assert np.array_equal(recovered.frames, np.where(masks[..., None] > 0, pictures, before))
    assert np.array_equal(coded.clip.frames, before)
