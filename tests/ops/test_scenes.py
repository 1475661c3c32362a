"""Scenes: a cut is noticed, motion, a change of light and damage are not taken for one."""

import numpy as np
import pytest

from b2scvr.ops.scenes import scene_numbers


def scene(seed, shift=0, gain=1.0, size=(96, 160)):
    """A smooth picture of its own for each seed, moved and made lighter."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32)
    waves = [(rng.uniform(0.02, 0.09, 2), rng.uniform(0, 6.28), rng.uniform(20, 60, 3)) for _ in range(5)]
    picture = 128 + sum(a * np.sin(f[0] * y + f[1] * (x + shift) + p)[..., None] for f, p, a in waves)
    return np.clip(picture * gain, 0, 255).astype(np.uint8)


def garbage(picture, share, seed=0):
    """The picture with the lower `share` of its rows replaced by noise."""
    damaged, first = picture.copy(), round(len(picture) * (1 - share))
    damaged[first:] = np.random.default_rng(seed).integers(0, 256, damaged[first:].shape)
    return damaged


def test_a_cut_starts_a_new_scene():
    clip = [scene(1), scene(1, 2), scene(2), scene(2, 2), scene(3)]
    assert scene_numbers(clip, np.ones(5, bool)).tolist() == [0, 0, 1, 1, 2]


@pytest.mark.parametrize(
    "pictures", [[scene(1, 4 * i) for i in range(12)], [scene(1, 0, 1 + 0.05 * i) for i in range(8)]]
)
def test_motion_and_light_are_no_cut(pictures):
    assert scene_numbers(pictures, np.ones(len(pictures), bool)).max() == 0
    around = np.zeros(len(pictures), bool)
    around[[0, -1]] = True
    assert scene_numbers(pictures, around).max() == 0, "what drifts apart over a damaged run stays one scene"


@pytest.mark.parametrize("share", [0.2, 0.45, 1.0])
def test_damage_is_no_cut(share):
    clip = [scene(1, i) for i in range(6)]
    clip[2], clip[3] = garbage(clip[2], share), garbage(clip[3], share, 1)
    assert scene_numbers(clip, np.array([1, 1, 0, 0, 1, 1], bool)).max() == 0


def test_damaged_pictures_beside_a_cut_go_to_their_own_side():
    clip = [scene(1), garbage(scene(1, 1), 0.2), garbage(scene(2), 0.2), scene(2, 1)]
    assert scene_numbers(clip, np.array([1, 0, 0, 1], bool)).tolist() == [0, 0, 1, 1]


def test_without_a_reliable_picture_there_is_one_scene():
    assert scene_numbers([scene(1), scene(2)], np.zeros(2, bool)).tolist() == [0, 0]
    assert scene_numbers([], np.zeros(0, bool)).tolist() == []


def suspect(share):
    """What is trusted of a picture whose lower `share` is damaged, bool [6, 10]."""
    return np.arange(6)[:, None] < np.full((1, 10), round(6 * (1 - share)))


@pytest.mark.parametrize("turn", [1, -1])
def test_a_cut_to_damaged_pictures_shows_in_what_is_trusted_of_them(turn):
    """At the end of a clip there is no reliable picture behind the cut; turned round, at its beginning."""
    clip = [scene(1), scene(1, 1), garbage(scene(4), 0.6), garbage(scene(4, 1), 0.6, 1)][::turn]
    reliable, trusted = np.array([1, 1, 0, 0], bool)[::turn], np.stack([suspect(0.6)] * 4)
    expected = np.array([0, 0, 1, 1])
    assert scene_numbers(clip, reliable, trusted).tolist() == expected.tolist()
    assert scene_numbers(clip, reliable, np.zeros_like(trusted)).max() == 0, "nothing is trusted, nothing is known"


@pytest.mark.parametrize("turn", [1, -1])
def test_heavy_damage_and_motion_at_the_ends_are_no_cut(turn):
    clip = [scene(1, 4 * i) for i in range(12)]
    clip = [*clip[:4], *(garbage(picture, 0.7, 5) for picture in clip[4:])][::turn]
    reliable = (np.arange(12) < 3)[::turn]
    assert scene_numbers(clip, reliable, np.stack([suspect(0.7)] * 12)).max() == 0


def test_a_cut_in_fast_motion_lies_where_neighbours_differ_most():
    clip = [scene(1), *(garbage(scene(2, 12 * i), 0.3, i) for i in range(8)), scene(2, 96)]
    assert scene_numbers(clip, np.arange(10) % 9 == 0).tolist() == [0] + [1] * 9
