"""Change points: known positions, intervals and what counts."""

import numpy as np
import pytest

from b2scvr.metrics.change_point import ChangePoint, change_point_scores, change_points


def starts(*positions, shape=(2, 5)):
    flags = np.zeros(shape, bool)
    flags.reshape(-1)[list(positions)] = True
    return flags


def suffix(position, shape=(2, 5)):
    flags = np.zeros(shape, bool)
    flags.reshape(-1)[position:] = True
    return flags


def test_known_answer():
    probability = np.array([[0, 0.04, 0.06, 0.4, 0.5], [0.9, 0.95, 1, 1, 1]])
    (point,) = change_points(probability, suffix(6), starts(0))
    assert point == ChangePoint(true=6, found=4, low=2, high=6)
    assert point.error == -2 and point.covered


def test_each_slice_is_on_its_own_and_intact_ones_do_not_count():
    probability = np.array([[0, 0, 0, 1, 1], [0, 0, 0, 0, 0]])
    wrong = np.array([[0, 0, 1, 1, 1], [0, 0, 0, 0, 0]], bool)
    (point,) = change_points(probability, wrong, starts(0, 5))
    assert (point.true, point.found) == (2, 3)


def test_damage_that_was_missed_or_invented_counts_to_the_end_of_the_slice():
    nothing, everything = np.zeros((2, 5)), np.ones((2, 5))
    assert change_points(nothing, suffix(7), starts(0))[0].error == 3
    assert change_points(everything, suffix(10), starts(0))[0].error == -10
    assert change_points(nothing, suffix(10), starts(0)) == []


def test_scores():
    points = [ChangePoint(6, 4, 2, 6), ChangePoint(3, 3, 3, 3), ChangePoint(0, 5, 4, 8)]
    scores = change_point_scores(points)
    assert scores.slices == 3 and scores.median_error == 2
    assert scores.mean_error == pytest.approx(7 / 3) and scores.interval == pytest.approx(8 / 3)
    assert scores.coverage == pytest.approx(2 / 3)
    assert change_point_scores([]) is None


def test_shapes_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="must agree"):
        change_points(np.zeros((2, 5)), suffix(1), starts(0, shape=(5, 2)))
