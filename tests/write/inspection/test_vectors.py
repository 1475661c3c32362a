import numpy as np
import pytest

from b2scvr.types import MISSING_REFERENCE
from b2scvr.write.inspection.palette import FUTURE, PAST
from b2scvr.write.inspection.vectors import arrows, draw_arrows, draw_vectors


def coloured(image, colour):
    """(row, column) of the pixels that are nearly of a colour."""
    return np.argwhere(np.abs(image.astype(int) - colour).max(axis=2) < 60)


def test_a_vector_leads_from_the_middle_of_its_block_to_where_it_points(bare):
    bare.mv_past[1, 2, 3], bare.mv_past_valid[1, 2, 3] = (8, 0), True
    at = coloured(draw_vectors(bare, 1, 4.0).image, PAST)
    middle = (2 * 8 + 4) * 4, (3 * 8 + 4) * 4  # row and column of the block's middle, 4 times as large
    assert abs(at[:, 1].min() - middle[1]) <= 1 and abs(at[:, 1].max() - (middle[1] + 8 * 4)) <= 1
    assert np.abs(at[:, 0] - middle[0]).max() <= 4  # the head's barbs
    tail, tip = at[at[:, 1] < middle[1] + 16], at[at[:, 1] >= middle[1] + 16]
    assert np.ptp(tip[:, 0]) > np.ptp(tail[:, 0])  # the head is at the end that it points to


def test_past_and_future_have_their_own_colours(bare):
    bare.mv_past[0, 1, 1], bare.mv_past_valid[0, 1, 1] = (0, -8), True
    bare.mv_future[0, 5, 9], bare.mv_future_valid[0, 5, 9] = (0, 8), True
    image = draw_vectors(bare, 0, 2.0).image
    assert coloured(image, PAST)[:, 0].max() <= 25 < coloured(image, FUTURE)[:, 0].min()


def test_cells_of_a_macroblock_that_agree_are_one_arrow():
    mv, valid = np.zeros((4, 4, 2), np.float32), np.ones((4, 4), bool)
    mv[...] = (3, 4)
    mv[0, 0] = (30, 4)
    tails, vectors = arrows(mv, valid, 2.0)
    assert len(tails) == 3 + 4
    assert tails[0].tolist() == [24, 8] and vectors[0].tolist() == [3, 4]  # the second macroblock, in its middle
    assert [4, 4] in tails.tolist() and [30, 4] in vectors.tolist()  # the first one, cell by cell


def test_a_cell_alone_in_its_macroblock_is_drawn_alone():
    mv, valid = np.zeros((3, 5, 2), np.float32), np.zeros((3, 5), bool)
    mv[2, 4], valid[2, 4] = (8, 0), True
    tails, vectors = arrows(mv, valid, 2.0)
    assert tails.tolist() == [[36, 20]] and vectors.tolist() == [[8, 0]]


def test_crowded_arrows_are_their_mean():
    mv, valid = np.zeros((4, 4, 2), np.float32), np.ones((4, 4), bool)
    mv[:, :2] = (2, 0)
    tails, vectors = arrows(mv, valid, 0.5)
    assert tails.tolist() == [[16, 16]] and vectors.tolist() == [[1, 0]]


def test_a_vector_of_no_length_is_a_dot():
    image = np.zeros((32, 32, 3), np.uint8)
    draw_arrows(image, np.array([[8, 8]], np.float32), np.zeros((1, 2), np.float32), PAST, 2.0)
    at = coloured(image, PAST)
    assert 1 <= len(at) <= 9 and np.abs(at - 16).max() <= 2


@pytest.mark.parametrize(
    ("reference", "said"), [(0, "from picture 0 (100 %)"), (MISSING_REFERENCE, "not in the stream"), (-1, "not known")]
)
def test_words_name_the_picture_that_vectors_mean(bare, reference, said):
    bare.mv_past[1, :, :], bare.mv_past_valid[1], bare.past_reference[1] = (3, 4), True, reference
    words = draw_vectors(bare, 1, 1.0).words
    assert "past: 128 blocks, median 5.0 px" in words and said in words and "future" not in words


def test_a_picture_without_vectors_says_so(bare):
    drawing = draw_vectors(bare, 1, 1.0)
    assert drawing.words == "no vectors in this picture" and not len(coloured(drawing.image, PAST))
