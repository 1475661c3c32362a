"""Pixels by log odds: IoU at every threshold, and average precision."""

import numpy as np
import pytest

from b2scvr.metrics.log_odds import CENTRES, EDGES, LogOddsCounts


def test_iou_counts_what_lies_at_or_above_a_threshold():
    right, wrong = np.zeros(len(CENTRES), int), np.zeros(len(CENTRES), int)
    right[[10, 20]], wrong[[15, 30]] = 6, 4
    ious = LogOddsCounts(right, wrong).iou_by_threshold()
    assert ious[0] == 8 / 20 and ious[11] == 8 / 14 and ious[16] == 4 / 14 and ious[21] == 0.5 and ious[31] == 0


def test_average_precision_by_hand():
    told = np.array([5.0, 3.0, 1.0, -1.0, -3.0])
    assert LogOddsCounts.of(told, np.array([1, 0, 1, 0, 0])).average_precision == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert LogOddsCounts.of(told, np.array([1, 1, 0, 0, 0])).average_precision == 1
    assert LogOddsCounts.of(told, np.array([0, 0, 0, 0, 1])).average_precision == pytest.approx(1 / 5)


def test_what_is_told_alike_counts_at_once():
    """Without an opinion the order of the pixels is none: average precision is the share of damage."""
    counts = LogOddsCounts.of(np.zeros((2, 4)), np.array([[1, 0, 0, 0], [1, 0, 0, 0]]))
    assert counts.average_precision == pytest.approx(1 / 4)


def test_a_scale_changes_nothing_and_parts_add_up():
    rng = np.random.default_rng(0)
    told, truth = rng.normal(size=(4, 50)), rng.random((4, 50)) < 0.3
    whole = LogOddsCounts.of(told, truth)
    parts = LogOddsCounts.of(told[:1], truth[:1]) + LogOddsCounts.of(told[1:], truth[1:])
    assert np.array_equal(whole.right, parts.right) and np.array_equal(whole.wrong, parts.wrong)
    assert LogOddsCounts.of(told * 2, truth).average_precision == pytest.approx(whole.average_precision, abs=0.02)


def test_ends_and_nothing():
    sure = LogOddsCounts.of(np.array([-np.inf, np.inf, EDGES[-1], 99.0]), np.array([0, 1, 1, 1]))
    assert sure.right[0] == 1 and sure.wrong[-1] == 3 and sure.average_precision == 1
    told = LogOddsCounts.of_probabilities(np.array([0.0, 0.5, 1.0], np.float32), np.array([0, 1, 1]))
    assert told.right[0] == told.wrong[-1] == 1 and told.wrong[EDGES[:-1] == 0] == 1
    assert LogOddsCounts.of(np.zeros(3), np.zeros(3)).average_precision == 1
    with pytest.raises(ValueError, match="do not match"):
        LogOddsCounts.of(np.zeros(3), np.zeros(4))
