import numpy as np
import pytest

from b2scvr.metrics.boundary import boundary_f


def square(top, left, side=20, size=(100, 120)):
    mask = np.zeros(size, np.uint8)
    mask[top : top + side, left : left + side] = 1
    return mask


def test_the_same_outline_is_perfect_and_a_far_one_worth_nothing():
    assert boundary_f(square(10, 10), square(10, 10)) == 1.0
    assert boundary_f(square(10, 10), square(60, 80)) == 0.0


def test_an_outline_within_the_tolerance_is_right():
    tolerance = 3 / np.hypot(100, 120)
    assert boundary_f(square(10, 10), square(12, 10), tolerance) == 1.0
    assert boundary_f(square(10, 10), square(16, 10), tolerance) < 1.0


def test_half_of_an_outline():
    """A mask of the left half shares three sides' worth of the outline."""
    whole, half = square(20, 20, 40), square(20, 20, 40)
    half[:, 40:] = 0
    assert 0.5 < boundary_f(half, whole) < 0.95


def test_empty_masks():
    empty = np.zeros((100, 120), np.uint8)
    assert boundary_f(empty, empty) == 1.0
    assert boundary_f(empty, square(10, 10)) == 0.0 == boundary_f(square(10, 10), empty)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="do not match"):
        boundary_f(np.zeros((4, 4)), np.zeros((4, 5)))
