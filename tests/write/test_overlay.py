import numpy as np
import pytest

from b2scvr.write import overlay_mask


def test_only_masked_pixels_change():
    picture = np.full((20, 20, 3), 90, np.uint8)
    mask = np.zeros((20, 20), np.uint8)
    mask[5:12, 6:14] = 1
    shown = overlay_mask(picture, mask)
    changed = (shown != picture).any(axis=2)
    assert np.array_equal(changed, mask.astype(bool))
    assert (picture == 90).all()


def test_an_empty_mask_leaves_the_picture():
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    shown = overlay_mask(picture, np.zeros((8, 8), np.uint8))
    assert np.array_equal(shown, picture) and shown is not picture


def test_another_size_is_refused():
    with pytest.raises(ValueError, match="do not match"):
        overlay_mask(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9), np.uint8))
