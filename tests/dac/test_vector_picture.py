"""The colour-wheel picture of vectors, oddities included."""

import colorsys

import numpy as np
import pytest

from b2scvr.bitstream.assembly import blank_clip
from b2scvr.dac.vector_picture import vector_picture
from b2scvr.types import Partition

HEIGHT, WIDTH = 64, 96
JPEG_LEVELS = 24  # how far a flat colour moves when it is saved and read again


def clip_with(*blocks, partition=Partition.WHOLE):
    """A clip of one picture; blocks: (list, row, column of the 8x8 cell, rows, columns, vector)."""
    clip = blank_clip(np.zeros((1, HEIGHT, WIDTH, 3), np.uint8), 25.0, "h264", "")
    clip.partition[:] = partition
    for which, row, column, rows, columns, vector in blocks:
        place = (0, slice(row, row + rows), slice(column, column + columns))
        getattr(clip, f"mv_{which}")[place] = vector
        getattr(clip, f"mv_{which}_valid")[place] = True
    return clip


def lit(picture):
    """(top, bottom, left, right) of what is not black."""
    rows, columns = np.nonzero(picture.max(-1) > 128)
    return rows.min(), rows.max() + 1, columns.min(), columns.max() + 1


def hue(colour):
    return colorsys.rgb_to_hsv(*(np.asarray(colour, float) / 255))[0] * 360


def test_nothing_moves_nothing_shows():
    assert vector_picture(clip_with(), 0).max() == 0
    assert vector_picture(clip_with(("past", 0, 0, 8, 12, (0, 0))), 0).max() == 0


@pytest.mark.parametrize(
    ("vector", "degrees"), [((3, 0), 0), ((0, 3), 90), ((-3, 0), 180), ((0, -0.25), 270), ((2, 2), 45)]
)
def test_hue_is_the_direction(vector, degrees):
    colour = vector_picture(clip_with(("past", 2, 4, 2, 2, vector)), 0)[32, 48]
    assert abs((hue(colour) - degrees + 180) % 360 - 180) < 6
    assert colour.max() > 255 - JPEG_LEVELS


@pytest.mark.parametrize(
    ("partition", "rows", "columns", "expected"),
    [
        (Partition.WHOLE, 2, 2, (24, 40, 40, 56)),
        (Partition.ROWS, 1, 2, (20, 28, 40, 56)),
        (Partition.COLUMNS, 2, 1, (24, 40, 36, 44)),
        (Partition.QUARTERS, 1, 1, (20, 28, 36, 44)),
    ],
)
def test_a_block_lies_half_its_size_too_far_right_and_down(partition, rows, columns, expected):
    picture = vector_picture(clip_with(("past", 2, 4, rows, columns, (4, 0)), partition=partition), 0)
    assert np.abs(np.subtract(lit(picture), expected)).max() <= 2


def test_the_longest_vector_of_the_picture_is_the_brightest_whatever_its_length():
    one = vector_picture(clip_with(("past", 2, 2, 2, 2, (1, 0)), ("past", 2, 8, 2, 2, (2, 0))), 0)
    ten = vector_picture(clip_with(("past", 2, 2, 2, 2, (10, 0)), ("past", 2, 8, 2, 2, (20, 0))), 0)
    assert np.array_equal(one, ten)
    assert one[32, 80].max() > 255 - JPEG_LEVELS and abs(int(one[32, 32].max()) - 128) < JPEG_LEVELS


def test_of_two_lists_the_second_wins():
    picture = vector_picture(clip_with(("past", 2, 4, 2, 2, (3, 0)), ("future", 2, 4, 2, 2, (-3, 0))), 0)
    assert abs(hue(picture[32, 48]) - 180) < 6


def test_blocks_at_the_edge_are_cut():
    picture = vector_picture(clip_with(("past", 6, 10, 2, 2, (3, 0))), 0)
    assert lit(picture)[1] == HEIGHT and lit(picture)[3] == WIDTH
