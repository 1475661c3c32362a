"""Decoded pictures find their clean ones: dropped, repeated, damaged, frozen."""

import numpy as np
import pytest

from b2scvr.data.bscv.align import align, slots


@pytest.fixture(scope="module")
def clean(pictures):
    return pictures


def damaged(pictures, seed=0):
    """A third of every second picture is garbage, and all of it has a little noise."""
    rng = np.random.default_rng(seed)
    noisy = np.clip(pictures.astype(int) + rng.integers(-4, 5, pictures.shape), 0, 255).astype(np.uint8)
    noisy[::2, -32:] = rng.integers(0, 256, noisy[::2, -32:].shape)
    return noisy


def test_pictures_in_their_places_stay_there(clean):
    assert align(clean, clean).tolist() == list(range(len(clean)))
    assert align(damaged(clean), clean).tolist() == list(range(len(clean)))


@pytest.mark.parametrize("dropped", [[0], [9], [23], [5, 6], [3, 11, 17], [0, 12, 23]])
def test_dropped_pictures_are_found(clean, dropped):
    kept = np.setdiff1d(np.arange(len(clean)), dropped)
    assert align(damaged(clean)[kept], clean).tolist() == kept.tolist()


def test_a_drop_filled_with_a_neighbour_later_is_found(clean):
    shown = [*range(6), *range(7, 18), 17, *range(18, 24)]
    assert align(damaged(clean)[shown], clean).tolist() == shown


def test_more_pictures_than_clean_ones(clean):
    shown = [0, 1, 1, 2, 3, 4, 4, *range(5, 24)]
    assert align(clean[shown], clean).tolist() == shown


def test_nothing_moves_where_nothing_moves():
    still = np.full((12, 32, 48, 3), 90, np.uint8)
    assert align(still, still).tolist() == list(range(12))


def test_slots_take_the_most_similar_and_fill_gaps(clean):
    pictures = np.stack([damaged(clean[:2])[0], clean[1], damaged(clean[:2])[0], clean[3]])
    chosen, missing = slots(np.array([1, 1, 1, 3]), pictures, clean[:5])
    assert chosen.tolist() == [1, 1, 1, 3, 3]
    assert missing.tolist() == [True, False, True, False, True]


def test_nothing_to_align_is_refused(clean):
    with pytest.raises(ValueError, match="nothing to align"):
        align(clean[:0], clean)
