"""Masks of two pictures, and of one picture and several guesses of the truth."""

import numpy as np
import pytest

from b2scvr.ops.masks import DIFFERENCE_LEVELS, damage_mask, damage_mask_by_guesses, within
from b2scvr.types import PictureDamage


def grey(level, height=32, width=48):
    return np.full((height, width, 3), level, np.uint8)


def test_one_channel_that_differs_by_more_than_the_levels_counts():
    decoded, clean = grey(100), grey(100)
    clean[:, :16, 1] = 100 + DIFFERENCE_LEVELS
    clean[:, 32:, 1] = 100 + DIFFERENCE_LEVELS + 1
    mask = damage_mask(decoded, clean)
    assert not mask[:, :32].any() and mask[:, 32:].all()


def test_guesses_count_by_the_mean_of_their_differences():
    decoded = grey(100)
    near, far = grey(110), grey(100)
    far[:, 24:] = 60  # mean difference: 5 on the left, 25 on the right
    mask = damage_mask_by_guesses(decoded, (near, far), 14)
    assert not mask[:, :24].any() and mask[:, 24:].all()
    assert not damage_mask_by_guesses(decoded, (near,), 14).any()


def test_differences_of_opposite_signs_do_not_cancel():
    assert damage_mask_by_guesses(grey(100), (grey(80), grey(120)), 14).all()


def test_a_single_guess_is_the_mask_of_two_pictures():
    rng = np.random.default_rng(0)
    decoded, clean = rng.integers(0, 256, (2, 32, 48, 3), dtype=np.uint8)
    assert np.array_equal(damage_mask_by_guesses(decoded, (clean,)), damage_mask(decoded, clean))


def test_pictures_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match=r"\[32, 48, 3\].*\[16, 48, 3\]"):
        damage_mask_by_guesses(grey(0), (grey(0), grey(0, height=16)))


def test_damage_stays_within_what_can_be_wrong():
    damage = PictureDamage(np.full((2, 3), 0.8, np.float32), np.full((20, 40), 0.7, np.float32), 0.5)
    concealed = np.array([[False, False, False], [False, True, True]])
    found = within(damage, concealed)
    assert found.macroblocks.tolist() == (concealed * np.float32(0.8)).tolist() and found.confidence == 0.5
    assert (found.mask[16:, 16:] == np.float32(0.7)).all() and found.mask.sum() == pytest.approx(4 * 24 * 0.7, rel=1e-5)
    assert (damage.macroblocks == np.float32(0.8)).all()  # the argument stays as it was
