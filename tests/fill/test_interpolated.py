"""Concealment of intra pictures kept where it is nearer to the truth than what other pictures show."""

from dataclasses import replace

import numpy as np
import pytest

from b2scvr.fill.interpolated import keep_interpolated
from b2scvr.fill.surroundings import surroundings
from b2scvr.types import AccessUnitStatus

LEVEL = 40  # of a square that is to be restored


@pytest.fixture
def around(parsed_clip):
    """Picture 3 with a wrong square, of which the right half was concealed; the rest is right."""
    parsed_clip.status[3] = AccessUnitStatus.BROKEN
    parsed_clip.concealed[3, 2:4, 3:4] = True
    return surroundings(parsed_clip, 3)


@pytest.fixture
def wrong():
    out = np.zeros((96, 128), bool)
    out[32:64, 32:64] = True
    return out


def guessing(around, fill):
    return replace(around, candidates=np.stack([*around.candidates[:-1], fill.astype(np.uint8)]))


def test_it_is_kept_where_the_fill_misses_what_is_known_around(around, wrong):
    restored = np.full_like(around.decoded, LEVEL)
    kept = keep_interpolated(guessing(around, 255 - around.decoded), restored, wrong)
    assert np.array_equal(kept[32:64, 48:64], around.decoded[32:64, 48:64])
    assert (kept[32:64, 32:48] == LEVEL).all()  # decoded, not concealed: garbage


@pytest.mark.parametrize("off", [0, 20])
def test_it_is_not_where_the_fill_is_as_near_as_smoothing(around, wrong, off):
    restored = np.full_like(around.decoded, LEVEL)
    fill = np.clip(around.decoded.astype(int) + off, 0, 255)
    assert np.array_equal(keep_interpolated(guessing(around, fill), restored, wrong), restored)


def test_only_what_is_near_the_damage_is_asked(around, wrong):
    restored, fill = np.full_like(around.decoded, LEVEL), around.decoded.copy()
    fill[:, 110:] = 0  # wrong, and far away
    assert np.array_equal(keep_interpolated(guessing(around, fill), restored, wrong), restored)
    everywhere = np.ones_like(wrong)  # nothing is known
    assert np.array_equal(keep_interpolated(guessing(around, 255 - fill), restored, everywhere), restored)


def test_a_large_hole_cannot_be_interpolated(around, wrong):
    restored = np.full_like(around.decoded, LEVEL)
    wrong[16:96, 16:112] = True  # 40 pixels deep
    assert np.array_equal(keep_interpolated(guessing(around, 255 - around.decoded), restored, wrong), restored)
