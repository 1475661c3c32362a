"""Augmentation: mirror images twice are the original, boxes hold damage, suffixes are suffixes."""

import numpy as np
import pytest

from b2scvr.data import augment
from b2scvr.ops.evidence import CHANNELS
from b2scvr.types import array_fields


def grid(*rows):
    return np.array([[character == "x" for character in row] for row in rows])


def test_mirror_negates_x_of_motion_and_vectors_and_inverts_itself(sample):
    mirrored = augment.mirror(sample)
    around, original = mirrored.surroundings, sample.surroundings
    assert np.array_equal(around.motion[..., 0], -original.motion[:, :, ::-1, 0])
    assert np.array_equal(around.motion[..., 1], original.motion[:, :, ::-1, 1])
    for name, sign in {"past_x": -1, "past_y": 1, "future_x": -1, "future_y": 1, "qp": 1}.items():
        channel = CHANNELS.index(name)
        assert np.array_equal(around.evidence[channel], sign * original.evidence[channel][:, ::-1]), name
    assert np.array_equal(mirrored.wrong, sample.wrong[:, ::-1])
    again = augment.mirror(mirrored)
    for name, array in array_fields(original).items():
        assert np.array_equal(getattr(again.surroundings, name), array), name
    assert np.array_equal(again.target, sample.target)


def test_a_picture_off_the_grid_has_no_mirror_image(make_random_sample):
    with pytest.raises(ValueError, match="120 pixels wide"):
        augment.mirror(make_random_sample(width=120))


def test_recolour_treats_all_pictures_alike(make_random_sample):
    sample = make_random_sample()
    sample.surroundings.window[0] = sample.target
    sample.surroundings.candidates[2] = sample.target
    before = sample.target.copy()
    coloured = augment.recolour(np.random.default_rng(1), sample)
    assert np.array_equal(coloured.surroundings.window[0], coloured.target)
    assert np.array_equal(coloured.surroundings.candidates[2], coloured.target)
    assert not np.array_equal(coloured.target, before)
    assert np.array_equal(sample.target, before), "the input must stay"


def test_damage_suffix_runs_to_the_end_of_each_slice():
    starts = grid("x...", "..x.", "....")
    wrong = grid("..x.", "....", ".x..")
    expected = [[0, 0, 1, 1], [1, 1, 0, 0], [0, 1, 1, 1]]
    assert augment.damage_suffix(wrong, starts).tolist() == expected


def test_damage_suffix_is_empty_without_damage():
    assert not augment.damage_suffix(grid("....", "...."), grid("x...", "....")).any()


@pytest.mark.parametrize(
    ("shift", "expected"), [(-1, [0, 1, 1, 1]), (1, [0, 0, 0, 1]), (-9, [1, 1, 1, 1]), (9, [0, 0, 0, 0])]
)
def test_a_shifted_suffix_stays_in_its_slice(shift, expected):
    assert augment.damage_suffix(grid("..x."), grid("x..."), shift).tolist() == [expected]


def test_a_ramp_rises_to_one_at_the_change():
    assert augment.damage_suffix(grid("...x"), grid("x..."), ramp=3).tolist() == [[0.25, 0.5, 0.75, 1.0]]


def test_boxes_lie_inside_and_mostly_hold_damage():
    rng = np.random.default_rng(0)
    damaged = np.zeros((8, 12), bool)
    damaged[6, 9] = True
    boxes = [augment.draw_box(rng, damaged, (120, 192), (48, 64)) for _ in range(200)]
    assert all(box.top + box.rows <= 7 and box.left + box.columns <= 12 for box in boxes)  # 120 pixels: 7 whole rows
    hits = [damaged[b.top : b.top + b.rows, b.left : b.left + b.columns].any() for b in boxes]
    assert 0.85 < np.mean(hits) <= 1
    assert len({(box.top, box.left) for box in boxes}) > 6


def test_boxes_that_make_no_sense_are_refused():
    rng, damaged = np.random.default_rng(0), np.ones((4, 4), bool)
    with pytest.raises(ValueError, match="multiples of 16"):
        augment.draw_box(rng, damaged, (64, 64), (40, 48))
    with pytest.raises(ValueError, match="does not fit"):
        augment.draw_box(rng, damaged, (64, 64), (80, 48))
    with pytest.raises(ValueError, match="does not fit"):
        augment.draw_band(rng, damaged, (64, 64), 5)


def test_a_band_is_full_width_and_begins_a_slice(sample):
    rng = np.random.default_rng(0)
    bands = [augment.draw_band(rng, sample.wrong, (96, 128), 2) for _ in range(100)]
    assert all(band.left == 0 and band.columns == 8 and band.rows == 2 for band in bands)
    assert np.mean([band.top <= 2 < band.top + 2 for band in bands]) > 0.6  # macroblock 20 is in row 2
    sample.surroundings.slice_start[:] = False
    started = augment.start_slices(sample).surroundings
    assert started.slice_start.sum() == 1
    assert started.slice_start[0, 0]
    assert started.evidence[CHANNELS.index("slice_start"), 0, 0] == 1
    assert not sample.surroundings.slice_start.any(), "the input must stay"


def test_jittered_suffixes_are_right_early_and_late():
    rng = np.random.default_rng(0)
    wrong = np.arange(200).reshape(10, 20) >= 100
    starts = np.arange(200).reshape(10, 20) == 0
    first = [int(np.argmax(augment.draw_suffix(rng, wrong, starts) >= 1)) for _ in range(300)]
    assert np.mean(np.array(first) == 100) > 0.15
    assert np.mean(np.array(first) > 105) > 0.4, "detectors are late more often than early"
    assert min(first) < 95
