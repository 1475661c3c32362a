"""The dot plot: marks stand where their values are, what is hollow is, and nothing to draw is refused."""

import math

import numpy as np
import pytest

from b2scvr.write.dot_plot import COLOURS, Series, dot_plot
from b2scvr.write.inspection.palette import PAPER


def columns_of(image, colour, rows=slice(None)):
    return np.flatnonzero((image[rows] == colour).all(axis=2).any(axis=0))


def test_larger_values_stand_further_right():
    one = Series("first", {"a": 1.0, "b": 3.0}, 2.0, 1.5, 2.5)
    other = Series("second", {"a": -1.0}, -1.0, math.nan, math.nan)
    image = dot_plot([one, other], "gain", "dB")
    assert image.dtype == np.uint8 and image.ndim == 3 and (image[0, 0] == PAPER).all()
    body = slice(70, None)  # below the legend
    first, second = (columns_of(image, colour, body) for colour in COLOURS[:2])
    assert second.max() < first.min(), "-1 is left of 1"
    single = dot_plot([Series("first", {"a": 1.0}, 1.0, math.nan, math.nan)], "gain", "dB")
    assert single.shape[0] < image.shape[0], "fewer rows, a lower picture"


def test_hollow_marks_are_outlines():
    filled, hollow = (
        dot_plot([Series("s", {"a": 1.0}, 1.0, math.nan, math.nan, hollow=h)], "t", "x") for h in (False, True)
    )
    count = [int((image == COLOURS[0]).all(axis=2).sum()) for image in (filled, hollow)]
    assert count[0] > 2 * count[1]


def test_many_series_and_equal_values_are_drawn():
    series = [Series(f"method {i}", {"clip": 0.0, "other clip": 0.0}, 0.0, 0.0, 0.0) for i in range(20)]
    image = dot_plot(series, "a title far too long for the picture " * 9, "dB")
    assert all((image == colour).all(axis=2).any() for colour in COLOURS)


def test_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match="nothing"):
        dot_plot([Series("s", {}, 0.0, math.nan, math.nan)], "t", "x")
