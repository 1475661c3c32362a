"""What the decoder passes over in silence, and what it carries along."""

import numpy as np
import pytest

from b2scvr.bitstream.access_units import split_access_units
from b2scvr.bitstream.damage import CutModel, damage
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.reader import decode
from b2scvr.types import AccessUnitStatus


def at_decode_index(clip, index):
    return int(np.flatnonzero(clip.decode_index == index)[0])


@pytest.mark.parametrize("coder", ["cabac", "cavlc"])
def test_a_cut_that_the_decoder_does_not_notice_is_told_all_the_same(moving, coder):
    """A few bytes less often come out to the right number of macroblocks, with bits left over."""
    clean = encode_h264(moving(16, seed=2), gop=16, options={"coder": coder})
    silent, told = 0, 0
    for seed in range(40):
        damaged, (cut,) = damage(clean, CutModel(position=0.5 + 0.01 * seed, length=3 + seed % 7, seed=seed))
        clip = decode(damaged).clip
        slot = at_decode_index(clip, cut.access_unit)
        silent += not clip.concealed[slot].any()
        told += clip.status[slot] == AccessUnitStatus.BROKEN
    assert silent > 5  # else this test would show nothing
    assert told >= 37  # garbage of exactly the right length cannot be told from data


def test_intact_streams_have_no_bits_left(moving):
    for options in ({}, {"slices": "4"}, {"coder": "cavlc", "slices": "2"}, {"x264-params": "tff=1"}):
        clip = decode(encode_h264(moving(12), gop=12, options=options)).clip
        assert (clip.status == AccessUnitStatus.INTACT).all(), options


def test_an_error_leaves_no_mark_on_the_next_idr_period(moving):
    """libavcodec's CAVLC decoder keeps coefficients over an error: a picture of the next period must not get them."""
    clean = encode_h264(moving(24, seed=4, noise=6), gop=8, options={"coder": "cavlc", "bf": "0"})
    truth = decode(clean).clip
    units, _ = split_access_units(clean)
    first, rest = b"".join(units[:8]), b"".join(units[8:])
    for seed in range(8):
        clip = decode(damage(first, CutModel(gop=8, position=0.5, length=200, seed=seed))[0] + rest).clip
        assert (clip.status[:8] == AccessUnitStatus.BROKEN).sum() == 1
        assert (clip.status[8:] == AccessUnitStatus.INTACT).all()
        for slot in np.flatnonzero(clip.status == AccessUnitStatus.INTACT):
            assert np.array_equal(clip.frames[slot], truth.frames[slot]), (seed, slot)


def test_where_the_entropy_decoder_noticed_is_inside_the_damage(moving):
    clean = encode_h264(moving(12, 160, 208, noise=5), gop=12)
    truth = decode(clean).clip
    damaged, (cut,) = damage(clean, CutModel(gop=12, position=0.3, length=300, seed=1))
    clip = decode(damaged).clip
    slot = at_decode_index(clip, cut.access_unit)
    assert clip.noticed[slot].sum() == 1 and clip.noticed.sum() == 1
    wrong = (clip.frames[slot] != truth.frames[slot]).any(axis=-1).reshape(10, 16, 13, 16).any(axis=(1, 3))
    assert np.flatnonzero(clip.noticed[slot])[0] >= np.flatnonzero(wrong)[0]


def test_a_removed_reference_makes_dependents(moving):
    clean = encode_h264(moving(20), gop=10, options={"bf": "0"})
    units, _ = split_access_units(clean)
    clip = decode(b"".join([*units[:4], *units[5:]])).clip
    assert len(clip) == 19
    assert (clip.status[:4] == AccessUnitStatus.INTACT).all()
    assert (clip.status[4:9] == AccessUnitStatus.DEPENDENT).all()
    assert (clip.status[9:] == AccessUnitStatus.INTACT).all()


def test_other_kinds_of_concealment_change_nothing_but_what_is_damaged(moving):
    clean = encode_h264(moving(12, 160, 208, noise=5), gop=12)
    damaged, _ = damage(clean, CutModel(gop=12, position=0.3, length=300, seed=1))
    usual, named, unguessed, none = (
        decode(damaged, concealment=how).clip for how in (None, "guess_mvs+deblock", "deblock", "0")
    )
    assert np.array_equal(usual.frames, named.frames), "libavcodec's default"
    intact = usual.status == AccessUnitStatus.INTACT
    assert np.array_equal(unguessed.frames[intact], usual.frames[intact])
    assert np.array_equal(none.frames[intact], usual.frames[intact])
    assert not np.array_equal(none.frames[~intact], usual.frames[~intact])
    assert np.array_equal(decode(clean, concealment="0").clip.frames, decode(clean).clip.frames)
