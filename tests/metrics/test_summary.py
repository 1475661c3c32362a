"""Means, intervals and tables."""

import math

import pytest

from b2scvr.metrics.summary import markdown_table, mean_and_interval, with_interval


def test_interval_of_known_values():
    mean, low, high = mean_and_interval([1.0, 2.0, 3.0])
    assert mean == 2 and (low, high) == (1, 3), "one draw in 27 is 1 1 1: more than 2.5 %"
    coin = mean_and_interval([0.0, 1.0] * 50)
    assert coin[0] == 0.5 and coin[1:] == pytest.approx((0.5 - 1.96 * 0.05, 0.5 + 1.96 * 0.05), abs=0.01)
    assert coin == mean_and_interval([0.0, 1.0] * 50), "the same draws every time"
    skewed = mean_and_interval([0.0] * 19 + [10.0])
    assert skewed[1] == 0 and skewed[2] - skewed[0] > skewed[0] - skewed[1], "no interval reaches what nobody measured"
    assert math.isnan(mean_and_interval([5.0])[1])
    with pytest.raises(ValueError, match="no values"):
        mean_and_interval([])


def test_intervals_in_words():
    assert with_interval([1.0, 2.0, 3.0], signed=True) == "+2.00 [+1.00, +3.00]"
    assert with_interval([1.25], digits=1) == "1.2"
    assert with_interval([]) == "-"


def test_a_table_has_one_line_a_row():
    table = markdown_table([{"a": "1", "b": "2"}, {"a": "3", "b": "4"}])
    assert table.splitlines() == ["| a | b |", "| --- | --- |", "| 1 | 2 |", "| 3 | 4 |"]
    with pytest.raises(ValueError, match="a row has the columns"):
        markdown_table([{"a": "1"}, {"b": "2"}])
    assert markdown_table([]) == ""
