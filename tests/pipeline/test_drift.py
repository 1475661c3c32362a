"""Streams that can't be spliced: the broken pictures are restored, the rest is corrected along the stream's vectors."""

import dataclasses

import numpy as np
import pytest

from b2scvr.bitstream.reader import decode
from b2scvr.metrics.psnr import psnr
from b2scvr.ops.masks import damage_mask
from b2scvr.pipeline import Pipeline
from b2scvr.types import AccessUnitStatus, PictureDamage

BROKEN = (3, 7, 14)  # two in the first period of 12 pictures, one in the second


class Oracle:
    """Knows the clean clip; remembers which pictures it was asked for."""

    def __init__(self, clean):
        self.frames, self.asked = clean.frames, []

    def detect(self, surroundings):
        height, width = surroundings.decoded.shape[:2]
        return PictureDamage(
            np.ones(surroundings.concealed.shape, np.float32), np.ones((height, width), np.float32), 1.0
        )

    def restore(self, surroundings, damage):
        self.asked.append(surroundings.index)
        return self.frames[surroundings.index]


@pytest.fixture(scope="module")
def mpeg4(mpeg4_stream, pictures):
    clean, damaged = (decode(mpeg4_stream(pictures, broken=broken), "m4v") for broken in ((), BROKEN))
    assert set(BROKEN) <= set(np.flatnonzero(damaged.clip.status == AccessUnitStatus.BROKEN))
    return clean.clip, damaged


@pytest.mark.parametrize("mode", ["auto", "drift"])
def test_broken_pictures_are_restored_and_all_that_depends_on_them_follows(mpeg4, mode):
    clean, damaged = mpeg4
    oracle = Oracle(clean)
    recovered = Pipeline(oracle, oracle, mode=mode).recover(damaged)
    assert recovered.mode == "drift" and recovered.repaired is None
    assert recovered.restored == tuple(sorted(oracle.asked)) == BROKEN
    dependent = damaged.clip.status == AccessUnitStatus.DEPENDENT
    before, after = (psnr(frames, clean.frames)[dependent] for frames in (damaged.clip.frames, recovered.frames))
    assert dependent.sum() > 10 and after.mean() > before.mean() + 10 and (after > 30).all()
    assert np.array_equal(recovered.frames[list(BROKEN)], clean.frames[list(BROKEN)])
    assert any("splicing needs H.264" in note for note in recovered.notes) == (mode == "auto")


def test_what_nothing_touched_stays_and_masks_show_what_changed(mpeg4):
    clean, damaged = mpeg4
    oracle = Oracle(clean)
    recovered = Pipeline(oracle, oracle).recover(damaged)
    intact = damaged.clip.status == AccessUnitStatus.INTACT
    assert np.array_equal(recovered.frames[intact], damaged.clip.frames[intact])
    assert not recovered.masks.masks[intact].any()
    assert np.array_equal(recovered.masks.masks[4], damage_mask(damaged.clip.frames[4], recovered.frames[4]))
    assert recovered.masks.masks[4].any()


def test_a_broken_picture_is_restored_from_corrected_ones(mpeg4):
    clean, damaged = mpeg4
    seen = {}

    class Watching(Oracle):
        def detect(self, surroundings):
            seen[surroundings.index] = surroundings.window[surroundings.current - 1]
            return super().detect(surroundings)

    watching = Watching(clean)
    Pipeline(watching, watching).recover(damaged)
    found, sent = (psnr(picture[None], clean.frames[6:7])[0] for picture in (seen[7], damaged.clip.frames[6]))
    assert found > sent + 10  # the picture before it had been corrected


def test_a_lost_picture_is_restored_too(mpeg4):
    clean, damaged = mpeg4
    clip = dataclasses.replace(damaged.clip, lost=damaged.clip.lost.copy(), status=damaged.clip.status.copy())
    clip.lost[3], clip.status[3] = True, AccessUnitStatus.LOST
    oracle = Oracle(clean)
    recovered = Pipeline(oracle, oracle).recover(dataclasses.replace(damaged, clip=clip))
    assert recovered.mode == "drift" and recovered.restored == BROKEN
    assert np.array_equal(recovered.frames[3], clean.frames[3])


@pytest.mark.parametrize(("missing", "note"), [("vectors", "no motion vectors"), ("broken", "no picture is broken")])
def test_without_vectors_or_broken_pictures_every_damaged_one_is_restored(mpeg4, missing, note):
    clean, damaged = mpeg4
    status, none = damaged.clip.status.copy(), np.zeros_like(damaged.clip.mv_past_valid)
    if missing == "vectors":
        clip = dataclasses.replace(damaged.clip, mv_past_valid=none, mv_future_valid=none)
    else:
        status[status == AccessUnitStatus.BROKEN] = AccessUnitStatus.DEPENDENT
        clip = dataclasses.replace(damaged.clip, status=status)
    oracle = Oracle(clean)
    recovered = Pipeline(oracle, oracle, mode="drift").recover(dataclasses.replace(damaged, clip=clip))
    assert recovered.mode == "frames" and any(note in said for said in recovered.notes)
    assert np.array_equal(recovered.frames, clean.frames)


def test_how_much_change_counts_as_damage_can_be_set(mpeg4):
    clean, damaged = mpeg4
    oracle = Oracle(clean)
    counts = []
    for levels in (15, 40):
        recovered = Pipeline(oracle, oracle, difference_levels=levels).recover(damaged)
        expected = damage_mask(damaged.clip.frames[4], recovered.frames[4], levels)
        assert np.array_equal(recovered.masks.masks[4], expected)
        counts.append(int(expected.sum()))
    assert counts[1] < counts[0]


def test_given_masks_and_frames_mode_keep_the_published_way(mpeg4):
    clean, damaged = mpeg4
    oracle = Oracle(clean)
    assert Pipeline(oracle, oracle, mode="frames").recover(damaged).mode == "frames"
    masks = np.ones(damaged.clip.frames.shape[:3], np.uint8)
    assert Pipeline(oracle, oracle, mode="drift").recover(damaged, masks).mode == "frames"


def test_h264_can_be_recovered_by_drift_as_well(clean_stream, damaged_stream):
    clean, damaged = decode(clean_stream).clip, decode(damaged_stream)
    oracle = Oracle(clean)
    recovered = Pipeline(oracle, oracle, mode="drift").recover(damaged)
    assert recovered.mode == "drift" and not recovered.notes[len(damaged.clip.notes) :]
    dependent = damaged.clip.status == AccessUnitStatus.DEPENDENT
    before, after = (psnr(frames, clean.frames)[dependent].mean() for frames in (damaged.clip.frames, recovered.frames))
    assert after > before + 10
