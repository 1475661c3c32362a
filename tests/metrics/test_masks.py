import numpy as np
import pytest

from b2scvr.metrics import damaged_pictures, mask_scores, mask_truth


def test_scores_by_hand():
    truth, found = np.zeros((2, 4, 4), np.uint8), np.zeros((2, 4, 4), np.uint8)
    truth[0, :2] = 1  # 8 pixels
    found[0, 1:3] = 255  # 8 pixels, 4 of them right
    found[1, 0, 0] = 1  # one false alarm in another picture: pixels are pooled
    scores = mask_scores(found, truth)
    assert (scores.hits, scores.false_alarms, scores.misses) == (4, 5, 4)
    assert (scores.iou, scores.precision, scores.recall) == pytest.approx((4 / 13, 4 / 9, 0.5))
    both = scores + scores
    assert both.hits == 8 and both.iou == pytest.approx(scores.iou)


@pytest.mark.parametrize(
    ("found", "truth", "iou", "precision", "recall"),
    [(0, 0, 1, 1, 1), (0, 1, 0, 0, 0), (1, 0, 0, 0, 1), (1, 1, 1, 1, 1)],
)
def test_scores_where_one_side_is_empty_or_full(found, truth, iou, precision, recall):
    scores = mask_scores(np.full((1, 3, 3), found), np.full((1, 3, 3), truth))
    assert (scores.iou, scores.precision, scores.recall) == (iou, precision, recall)


def test_truth_is_a_visible_difference_closed():
    clean = np.full((1, 40, 40, 3), 100, np.uint8)
    decoded = clean.copy()
    decoded[0, 10:14, 10:14, 1] = 116  # by 16 in one channel: visible
    decoded[0, 10:14, 18:22, 2] = 84  # the gap of 4 between the two is closed
    decoded[0, 30:34, 30:34] = 115  # by 15: not visible
    truth = mask_truth(decoded, clean)
    assert truth.dtype == np.uint8 and set(np.unique(truth)) == {0, 1}
    expected = np.zeros((40, 40), np.uint8)
    expected[10:14, 10:22] = 1
    assert np.array_equal(truth[0], expected)


def test_a_picture_is_damaged_when_any_sample_differs():
    clean = np.zeros((3, 4, 4, 3), np.uint8)
    decoded = clean.copy()
    decoded[1, 0, 0, 2] = 1
    assert damaged_pictures(decoded, clean).tolist() == [False, True, False]


def test_shapes_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="do not match"):
        mask_scores(np.zeros((1, 4, 4)), np.zeros((1, 4, 5)))
    with pytest.raises(ValueError, match="do not match"):
        mask_truth(np.zeros((1, 4, 4, 3), np.uint8), np.zeros((2, 4, 4, 3), np.uint8))
