"""Samples made of a clip: the truth is true, the same seed gives the same samples."""

from dataclasses import replace

import numpy as np
import pytest

from b2scvr.bitstream.damage import CutModel, damage
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.nal import NalType, scan
from b2scvr.bitstream.reader import decode
from b2scvr.bitstream.repair import next_broken
from b2scvr.data.pairs import (
    MisalignedPairError,
    PairDraw,
    clip_variant,
    damaged_twin,
    draw_dependents,
    make_sample,
    make_samples,
    pair_streams,
    repaired_pair,
    samples_of,
    wrong_macroblocks,
)
from b2scvr.ops.masks import at_pixels
from b2scvr.types import AccessUnitStatus, array_fields

CUT = CutModel(slices_per_gop=1, gop=12, position=0.7, length=100, seed=3)


@pytest.fixture(scope="module")
def pair(clean_stream):
    return pair_streams(clean_stream, damage(clean_stream, CUT)[0])


@pytest.fixture(scope="module")
def p_stream(pictures):
    """P pictures only, each predicted from the one before."""
    return encode_h264(pictures[:12], gop=12, options={"bf": "0", "refs": "1"})


def without_slices(stream, numbers):
    """`stream` as if the packets of these slices, counted in file order, had not arrived."""
    slices = [unit for unit in scan(stream) if unit.type in (NalType.SLICE, NalType.IDR)]
    out, position = [], 0
    for number in sorted(numbers):
        out.append(stream[position : slices[number].start])
        position = slices[number].end
    return b"".join([*out, stream[position:]])


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


def test_a_pair_is_aligned_and_broken_where_it_was_cut(pair, clean_stream):
    damaged = pair.damaged.clip
    assert np.array_equal(pair.truth, decode(clean_stream).clip.frames)
    assert (damaged.status == AccessUnitStatus.BROKEN).any()
    intact = damaged.status == AccessUnitStatus.INTACT
    assert np.array_equal(pair.truth[intact], damaged.frames[intact])


def test_damage_of_a_broken_picture_is_a_suffix(pair):
    chosen = next_broken(pair.damaged.clip, set())
    assert chosen
    for index in chosen:
        sample = make_sample(pair, index)
        assert sample.surroundings.broken and sample.restored
        assert np.array_equal(sample.target, pair.truth[index])
        read = at_pixels(pair.damaged.clip.overwritten[index].macroblocks, *sample.target.shape[:2])
        assert np.array_equal(sample.surroundings.decoded[~read], pair.damaged.clip.frames[index][~read])
        assert not sample.surroundings.concealed[pair.damaged.clip.overwritten[index].macroblocks].any()
        flat = sample.wrong.reshape(-1)
        first = np.flatnonzero(flat)[0]
        assert flat[first:].mean() > 0.5
        above = first // sample.wrong.shape[1] * 16 - 16  # deblocking and closing reach into the row above
        assert not sample.mask[: max(above, 0)].any()


def test_dependents_are_drawn_only_where_asked_for(pair):
    clip = pair.damaged.clip
    chosen = next_broken(clip, set())
    assert draw_dependents(clip, chosen, set(), np.random.default_rng(0), 0.0) == []
    more = draw_dependents(clip, chosen, set(), np.random.default_rng(0), 1.0)
    assert 0 < len(more) <= len(chosen) and (clip.status[more] == AccessUnitStatus.DEPENDENT).all()
    again = draw_dependents(clip, chosen, more, np.random.default_rng(0), 1.0)
    assert not set(again) & set(more)
    samples = list(samples_of(pair, np.random.default_rng(0), dependents=1.0))
    assert {s.surroundings.index for s in samples if s.restored} == set(chosen)
    assert {s.surroundings.index for s in samples if not s.restored} == set(more)


def test_pictures_find_their_truth_where_a_whole_picture_is_gone(p_stream):
    """Picture 5 has gone: nothing of it arrived. It gets a place of its own, and what predicts from it depends on it."""
    pair = pair_streams(p_stream, without_slices(p_stream, [5]))
    clip = pair.damaged.clip
    assert np.array_equal(pair.truth, decode(p_stream).clip.frames)
    assert clip.lost.tolist() == [slot == 5 for slot in range(12)]
    assert (clip.status[:5] == AccessUnitStatus.INTACT).all() and (clip.status[6:] == AccessUnitStatus.DEPENDENT).all()
    (sample,) = samples_of(pair, np.random.default_rng(0))
    assert (sample.surroundings.index, sample.restored) == (5, True)
    assert sample.surroundings.concealed.all() and sample.mask.any()
    assert not np.array_equal(sample.surroundings.decoded, sample.target)
    repaired = repaired_pair(pair, [5]).damaged.clip
    assert not repaired.lost.any() and (repaired.status == AccessUnitStatus.INTACT).all()
    assert np.abs(repaired.frames.astype(int) - pair.truth).mean() < 1


def test_a_pass_goes_on_from_the_true_pictures(p_stream):
    """Two cuts in a period: the second picture is taken once the first is right, and only then counts as damaged by itself."""
    cut = CutModel(slices_per_gop=3, gop=12, position=0.3, length=80, seed=1)
    pair = pair_streams(p_stream, damage(p_stream, cut)[0])
    broken = np.flatnonzero(pair.damaged.clip.status == AccessUnitStatus.BROKEN)
    assert len(broken) == 3
    one, all_ = (list(samples_of(pair, np.random.default_rng(0), passes=passes)) for passes in (1, 5))
    assert [s.surroundings.index for s in one] == [broken[0]]
    assert [s.surroundings.index for s in all_] == broken.tolist()
    repaired = repaired_pair(pair, [int(broken[0])]).damaged.clip
    assert repaired.status[broken[0]] == AccessUnitStatus.INTACT
    between = slice(broken[0], broken[1])
    error = np.abs(repaired.frames[between].astype(int) - pair.truth[between])
    before = np.abs(pair.damaged.clip.frames[between].astype(int) - pair.truth[between])
    assert error.mean() < 1 < before.mean()


def test_streams_that_make_no_pair_are_refused(p_stream, pictures):
    with pytest.raises(MisalignedPairError, match="another size"):
        pair_streams(p_stream, encode_h264(pictures[:6, :64], gop=12))
    with pytest.raises(MisalignedPairError, match="not some of the clean one's"):
        pair_streams(p_stream, encode_h264(pictures[:20, ::-1], gop=12))
    with pytest.raises(MisalignedPairError, match="cannot be read"):
        pair_streams(p_stream, p_stream[:20])


def test_damage_is_drawn_again_until_it_hits(p_stream, footage):
    variant = clip_variant(footage, PairDraw(damage={"rtp:rate=0.02,protect=sets": 1}))
    for seed in range(5):
        assert damaged_twin(p_stream, replace(variant, damage_seed=seed)) != p_stream
    spared = replace(variant, damage="rtp:rate=0")
    assert damaged_twin(p_stream, spared) == p_stream


def test_the_same_draw_gives_the_same_samples(footage):
    draw = PairDraw(seed=1, damage={"rtp:rate=0.1,protect=sets": 1})
    first, second = list(make_samples(footage, draw)), list(make_samples(footage, draw))
    assert len(first) == len(second) > 0
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.target, b.target)
        for name, array in array_fields(a.surroundings).items():
            assert np.array_equal(array, getattr(b.surroundings, name)), name
    assert clip_variant(footage, replace(draw, seed=2)) != clip_variant(footage, draw)


def test_options_of_the_encoder_stand_over_drawn_ones(footage):
    drawn = [clip_variant(footage, PairDraw(seed=1), number) for number in range(12)]
    given = [clip_variant(footage, PairDraw(seed=1, encoder={"slices": "4"}), number) for number in range(12)]
    assert any(variant.options for variant in drawn)
    for before, after in zip(drawn, given, strict=True):
        assert after == replace(before, options={**before.options, "slices": "4"})
    sample = next(make_samples(footage, PairDraw(seed=1, damage={"144096": 1}, encoder={"slices": "4"})))
    assert len(np.unique(np.argwhere(sample.surroundings.slice_start)[:, 0])) == 4
