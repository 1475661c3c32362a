"""Samples made of a clip: the truth is true, the same seed gives the same samples."""

import numpy as np
import pytest

from b2scvr.bitstream.damage import CutModel
from b2scvr.bitstream.encode import encode_h264
from b2scvr.data.pairs import chosen_pictures, make_pair, make_sample, make_samples, wrong_macroblocks
from b2scvr.types import AccessUnitStatus, array_fields


@pytest.fixture(scope="module")
def pair(pictures):
    return make_pair(pictures, CutModel(slices_per_gop=1, gop=12, position=0.7, length=100, seed=3), crf=23)


@pytest.fixture(scope="module")
def footage(tmp_path_factory, pictures):
    path = tmp_path_factory.mktemp("footage") / "texture.h264"
    path.write_bytes(encode_h264(pictures, crf=10))
    return path


def test_wrong_macroblocks_leaves_out_what_deblocking_touches():
    clean = np.zeros((40, 48, 3), np.uint8)
    decoded = clean.copy()
    decoded[12:20, 3] = 1  # the lower rows of macroblock (0, 0), the upper ones of (1, 0)
    decoded[39, 47, 2] = 9  # row 39 is the eighth of a partial macroblock; column 47 is the last of its own
    decoded[33, 34] = 1
    expected = np.zeros((3, 3), bool)
    expected[1, 0] = expected[2, 2] = True
    assert np.array_equal(wrong_macroblocks(decoded, clean), expected)
    with pytest.raises(ValueError, match="not the same picture"):
        wrong_macroblocks(decoded, clean[:32])


def test_a_pair_is_aligned_and_broken_where_it_was_cut(pair):
    clean, damaged = pair.clean.clip, pair.damaged.clip
    assert (clean.status == AccessUnitStatus.INTACT).all()
    assert (damaged.status == AccessUnitStatus.BROKEN).any()
    intact = damaged.status == AccessUnitStatus.INTACT
    assert np.array_equal(clean.frames[intact], damaged.frames[intact])


def test_damage_of_a_broken_picture_is_a_suffix(pair):
    chosen = chosen_pictures(pair.damaged.clip, np.random.default_rng(0))
    assert chosen
    for index in chosen:
        sample = make_sample(pair, index)
        assert sample.surroundings.broken
        assert np.array_equal(sample.target, pair.clean.clip.frames[index])
        assert np.array_equal(sample.surroundings.decoded, pair.damaged.clip.frames[index])
        flat = sample.wrong.reshape(-1)
        first = np.flatnonzero(flat)[0]
        assert flat[first:].mean() > 0.5
        above = first // sample.wrong.shape[1] * 16 - 16  # deblocking and closing reach into the row above
        assert not sample.mask[: max(above, 0)].any()


def test_dependents_are_chosen_only_where_asked_for(pair):
    clip = pair.damaged.clip
    alone = chosen_pictures(clip, np.random.default_rng(0))
    more = chosen_pictures(clip, np.random.default_rng(0), dependents=1.0)
    assert (clip.status[alone] == AccessUnitStatus.BROKEN).all()
    assert more[: len(alone)] == alone
    assert (clip.status[more[len(alone) :]] == AccessUnitStatus.DEPENDENT).all()
    assert len(more) > len(alone)


def test_the_same_seed_gives_the_same_samples(footage):
    first, second = list(make_samples(footage, 1)), list(make_samples(footage, 1))
    assert len(first) == len(second) > 0
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.target, b.target)
        for name, array in array_fields(a.surroundings).items():
            assert np.array_equal(array, getattr(b.surroundings, name)), name
