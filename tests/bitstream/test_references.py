"""The picture that each vector means, against sources that know it: the content, and the decoder's own prediction."""

import numpy as np
import pytest

from b2scvr.bitstream.access_units import split_access_units
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.reader import decode
from b2scvr.bitstream.splice import splice_picture
from b2scvr.bitstream.syntax import ParameterSets
from b2scvr.types import MV_BLOCK, UNKNOWN_REFERENCE, PictureType, Planes


def test_pictures_that_alternate_refer_to_the_one_before_the_last(moving):
    one, other = moving(2, seed=1)[0], moving(2, seed=5)[0]
    rng = np.random.default_rng(0)
    frames = np.stack([one, other] * 6).astype(np.int16) + rng.integers(-3, 4, (12, *one.shape))
    options = {"bf": "0", "refs": "3", "x264-params": "scenecut=0"}
    stream = encode_h264(np.clip(frames, 0, 255).astype(np.uint8), gop=12, options=options)
    clip = decode(stream).clip
    for t in range(3, 12):
        valid = clip.mv_past_valid[t]
        assert valid.mean() > 0.9
        assert (clip.past_reference[t][valid] == t - 2).mean() > 0.97


@pytest.mark.parametrize(
    "options",
    [
        {"bf": "0", "refs": "3"},
        {"bf": "0", "refs": "3", "coder": "cavlc"},
        {"bf": "0", "refs": "3", "slices": "3"},
        {"bf": "0", "refs": "4", "weightp": "0", "8x8dct": "0"},
    ],
)
def test_blocks_follow_the_picture_that_they_are_said_to_mean(moving, play, options):
    """One picture is brightened inside the stream: just the blocks that mean it brighten in the next one."""
    options = {**options, "direct-pred": "none", "x264-params": "no-deblock=1"}
    stream = encode_h264(moving(10, seed=3, noise=8), gop=10, options=options)
    units, _ = split_access_units(stream)
    clip = decode(stream).clip
    sets = ParameterSets()
    for unit in units:
        sets.update(unit)
    target, told, seen = 6, clip.past_reference[6], 0
    before, _ = play(units)
    for reference in (5, 4, 3):
        spliced = list(units)
        for picture in range(reference, 6):  # those behind it stay as they were: what comes straight from it counts
            spliced[picture] = splice_picture(units[picture], before[picture], sets)
        old = before[reference]
        brighter = Planes(np.clip(old.y, 0, 200) + 40, old.u, old.v)
        spliced[reference] = splice_picture(units[reference], brighter, sets)
        changed, _ = play(spliced)
        differs = changed[target].y.astype(int) - before[target].y != 0
        rows, columns = told.shape
        share = differs[: rows * MV_BLOCK, : columns * MV_BLOCK].reshape(rows, MV_BLOCK, columns, MV_BLOCK).mean((1, 3))
        valid = clip.mv_past_valid[target]
        means, others = valid & (told == reference), valid & (told != reference)
        seen += int(means.sum() > 10)
        assert not means.any() or (share[means] > 0.9).mean() > 0.97
        assert not others.any() or (share[others] < 0.1).mean() > 0.97
    assert seen > 1


def test_b_pictures_know_both_their_references(moving):
    clip = decode(encode_h264(moving(13), gop=13, options={"bf": "1", "b_strategy": "0", "refs": "1"})).clip
    b_pictures = np.flatnonzero(clip.picture_type == PictureType.B)
    assert len(b_pictures) >= 4
    for t in b_pictures:
        past, future = clip.mv_past_valid[t], clip.mv_future_valid[t]
        assert past.any() and (clip.past_reference[t][past] == t - 1).all()
        assert future.any() and (clip.future_reference[t][future] == t + 1).all()


def test_where_there_is_no_vector_there_is_no_reference(clean_stream):
    clip = decode(clean_stream).clip
    assert (clip.past_reference[~clip.mv_past_valid] == UNKNOWN_REFERENCE).all()
    assert (clip.past_reference[clip.mv_past_valid] >= 0).all()
    assert (clip.future_reference[clip.mv_future_valid] >= 0).all()
