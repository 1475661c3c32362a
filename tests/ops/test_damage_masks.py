"""Masks of one picture."""

import numpy as np
import pytest

from b2scvr.ops.masks import within
from b2scvr.types import PictureDamage


def test_damage_stays_within_what_can_be_wrong():
    damage = PictureDamage(np.full((2, 3), 0.8, np.float32), np.full((20, 40), 0.7, np.float32), 0.5)
    concealed = np.array([[False, False, False], [False, True, True]])
    found = within(damage, concealed)
    assert found.macroblocks.tolist() == (concealed * np.float32(0.8)).tolist() and found.confidence == 0.5
    assert (found.mask[16:, 16:] == np.float32(0.7)).all() and found.mask.sum() == pytest.approx(4 * 24 * 0.7, rel=1e-5)
    assert (damage.macroblocks == np.float32(0.8)).all()  # the argument stays as it was
