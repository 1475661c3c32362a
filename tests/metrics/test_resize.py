"""The size at which pictures are judged."""

import cv2
import numpy as np
import pytest

from b2scvr.metrics.resize import resize_masks, resize_pictures


def test_the_same_size_is_the_same_array_and_flat_stays_flat():
    pictures = np.full((2, 24, 36, 3), 77, np.uint8)
    assert resize_pictures(pictures, (36, 24)) is pictures
    small = resize_pictures(pictures, (17, 12))
    assert small.shape == (2, 12, 17, 3) and (small == 77).all()


@pytest.mark.parametrize("size", [(43, 24), (90, 70)])
def test_pictures_are_scaled_as_pillow_scales_them(size):
    image = pytest.importorskip("PIL.Image")
    # In range throughout: Pillow cuts off what overshoots between its two passes.
    picture = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8), (0, 0), 1)
    expected = np.asarray(image.fromarray(picture).resize(size, image.Resampling.BICUBIC)).astype(int)
    assert np.abs(resize_pictures(picture[None], size)[0] - expected).max() <= 1
    mask = (picture[..., 0] > 128).astype(np.uint8)
    assert np.array_equal(
        resize_masks(mask[None], size)[0], image.fromarray(mask).resize(size, image.Resampling.NEAREST)
    )


def test_masks_keep_their_values():
    masks = np.zeros((1, 20, 20), np.uint8)
    masks[0, 10:] = 1
    assert resize_masks(masks, (10, 10))[0].sum() == 50 and resize_masks(masks, (20, 20)) is masks
