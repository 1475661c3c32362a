"""Means, intervals and tables."""

import math

import pytest

from b2scvr.metrics.summary import markdown_table, mean_and_interval, with_interval


def test_interval_of_known_values():
    mean, half = mean_and_interval([1.0, 2.0, 3.0])
    assert mean == 2
    assert half == pytest.approx(4.303 / math.sqrt(3))
    assert mean_and_interval([0.0, 1.0] * 50)[1] == pytest.approx(1.96 * 0.5025 / 10, rel=1e-3)
    assert math.isnan(mean_and_interval([5.0])[1])
    with pytest.raises(ValueError, match="no values"):
        mean_and_interval([])


def test_intervals_in_words():
    assert with_interval([1.0, 2.0, 3.0], signed=True) == "+2.00 ± 2.48"
    assert with_interval([1.25], digits=1) == "1.2"
    assert with_interval([]) == "-"


def test_a_table_has_one_line_a_row():
    table = markdown_table([{"a": "1", "b": "2"}, {"a": "3", "b": "4"}])
    assert table.splitlines() == ["| a | b |", "| --- | --- |", "| 1 | 2 |", "| 3 | 4 |"]
    with pytest.raises(ValueError, match="a row has the columns"):
        markdown_table([{"a": "1"}, {"b": "2"}])
    assert markdown_table([]) == ""
