import numpy as np
import pytest

from b2scvr.bitstream.describe import AccessUnit
from b2scvr.write.inspection.palette import CONCEALED, STATUSES, TRACED, TYPES
from b2scvr.write.inspection.timeline import (
    DAMAGE_HEIGHT,
    STRIP_HEIGHT,
    WIDEST_PLOT,
    bar_height,
    columns,
    draw_timeline,
)


def units_of(sizes, **changes):
    """Access units of these sizes: the first I and key, the others P; changes: display index -> other values."""
    changes = changes.get("changes", {})
    return [
        AccessUnit(**{
            "display_index": i, "decode_index": i, "type": "P" if i else "I", "key": not i, "reference": True,
            "offset": 0, "size": size, "slices": 1, "status": "intact", "concealed": 0.0, "trace": 0.0,
            **changes.get(i, {}),
        })
        for i, size in enumerate(sizes)
    ]  # fmt: skip


def height_of(image, colour):
    """Most pixels of a colour in any column of the picture, the legend left out."""
    return (image[90:] == colour).all(axis=2).sum(axis=0)


def bars_of(image, colour):
    """The height of each bar of a colour from left to right, the cell of its strip counted in."""
    heights = height_of(image, colour)
    ends = np.flatnonzero(np.diff(np.pad(heights > 0, 1)))
    return [int(heights[a:b].max()) for a, b in ends.reshape(-1, 2)]


def test_bars_are_as_high_as_their_units_are_large():
    image = draw_timeline(units_of([8000, 2000, 4000]), "t", 25.0)
    key, small, large = (height - STRIP_HEIGHT for kind in "IP" for height in bars_of(image, TYPES[kind]))
    assert key == pytest.approx(2 * large, abs=2) and large == pytest.approx(2 * small, abs=2) and small > 30


def test_a_small_bar_is_seen():
    assert [bar_height(v, 1000, 100) for v in (0, 1, 500, 1000)] == [0, 1, 50, 100]


def test_many_pictures_share_columns_and_the_worst_is_shown():
    units = units_of([100] * 2000, changes={777: {"status": "broken", "concealed": 0.8, "size": 900, "type": "B"}})
    shown = columns(units)
    assert len(shown) * 2 <= WIDEST_PLOT and sum(column.count for column in shown) == 2000
    (worst,) = [column for column in shown if column.status == "broken"]
    assert worst.first <= 777 < worst.first + worst.count
    assert (worst.size, worst.type, worst.concealed) == (900, "B", 0.8)
    assert shown[0].key and not shown[1].key
    image = draw_timeline(units, "t", 25.0)
    assert image.shape[1] < WIDEST_PLOT + 200
    assert height_of(image, CONCEALED).max() >= 0.8 * DAMAGE_HEIGHT


def test_few_pictures_have_a_column_each():
    assert [column.first for column in columns(units_of([5] * 10))] == list(range(10))


def test_status_and_damage_are_coloured():
    damaged = {1: {"status": "broken", "concealed": 0.25, "trace": 0.25}, 2: {"status": "dependent", "trace": 0.5}}
    image = draw_timeline(units_of([9, 9, 9], changes=damaged), "t", 25.0)
    assert height_of(image, CONCEALED).max() == STRIP_HEIGHT + bar_height(0.25, 1, DAMAGE_HEIGHT)
    assert height_of(image, TRACED).max() == STRIP_HEIGHT + bar_height(0.5, 1, DAMAGE_HEIGHT)
    assert STATUSES[0] != STATUSES[1] != STATUSES[2]


def test_one_picture_no_rate_and_odd_values():
    for units in (units_of([1]), units_of([0]), units_of([7, 3], changes={1: {"type": "?", "status": "lost"}})):
        image = draw_timeline(units, "a title much too long for such a picture " * 9, 0.0)
        assert image.dtype == np.uint8 and image.shape[0] % 2 == image.shape[1] % 2 == 0


def test_damage_that_is_not_known_is_put_in_words():
    known, unknown = (draw_timeline(units_of([5, 5]), "t", 25.0, absent) for absent in ("", "told for H.264 only"))
    assert known.shape == unknown.shape and not np.array_equal(known, unknown)
