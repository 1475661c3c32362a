"""CAVLC slices that lost their ends: told from those with bits missing inside by what stands behind them."""

import numpy as np
import pytest

from b2scvr.bitstream.access_units import split_access_units
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.endings import ENDINGS, last_undeblocked, up_to, with_ending
from b2scvr.bitstream.nal import scan
from b2scvr.bitstream.reader import decode
from b2scvr.types import AccessUnitStatus

DAMAGED = (3, 8)


def damaged(moving, harm, **options):
    """A stream of two periods with `harm` done to the first slice of an access unit in each."""
    options = {"bf": "0", "coder": "cavlc"} | options
    units, _ = split_access_units(encode_h264(moving(12, 192, 256, noise=6), gop=6, crf=20, options=options))
    for index in DAMAGED:
        nal = next(nal for nal in scan(units[index]) if nal.is_slice)
        data = units[index][nal.payload : nal.end]
        units[index] = units[index][: nal.payload] + harm(data) + units[index][nal.end :]
    return decode(b"".join(units))


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("options", [{}, {"slices": "2"}, {"x264-params": "tff=1"}], ids=["frames", "slices", "MBAFF"])
def test_slices_that_lost_their_ends(moving, options, share):
    clip = damaged(moving, lambda data: data[: int(len(data) * share)], **options).clip
    broken = clip.status == AccessUnitStatus.BROKEN
    assert sorted(clip.decode_index[broken]) == list(DAMAGED)
    assert clip.exhausted[broken].all() and clip.is_cut_off
    assert all(found.arrived for found in clip.overwritten.values())
    # Of several slices the decoder takes an end for the end of the slice, without an error.
    assert all(found.proven == clip.noticed[slot].any() for slot, found in clip.overwritten.items())
    assert bool(clip.overwritten) is ("x264-params" not in options)


@pytest.mark.parametrize("first", [0.2, 0.4, 0.6])
def test_slices_with_bits_missing_inside(moving, first):
    clip = damaged(moving, lambda data: data[: int(len(data) * first)] + data[int(len(data) * first) + 40 :]).clip
    assert clip.noticed.any() and not clip.exhausted[clip.noticed.any(axis=(1, 2))].all() and not clip.is_cut_off
    assert not any(found.arrived or found.proven for found in clip.overwritten.values())


def test_cabac_proves_nothing(moving):
    clip = damaged(moving, lambda data: data[: len(data) // 2], coder="cabac").clip
    assert clip.is_cut_off and not any(found.proven for found in clip.overwritten.values())


def test_what_depends_on_the_ending_was_not_sent(moving):
    """Two endings give the same picture up to where the bits end, and others behind it."""
    coded = damaged(moving, lambda data: data[: len(data) // 2])
    units = up_to(coded.clip, 3, coded.access_units)
    assert len(units) == 4 and units[0] == coded.access_units[0]
    pictures = [last_undeblocked([*units[:-1], with_ending(units[-1], ending)])[0].y for ending in ENDINGS]
    differs = (pictures[0] != pictures[1]) | (pictures[0] != pictures[2])
    first = np.flatnonzero(differs.any(axis=1))[0]
    assert 32 < first < 160 and differs[first:].any(axis=1).mean() > 0.05
    later = up_to(coded.clip, 8, coded.access_units)
    assert [nal.type for nal in scan(later[0])][:2] == [7, 8] and len(later) == 3  # its period begins at 6
    lone = up_to(coded.clip, 6, coded.access_units)
    assert len(lone) == 1


def test_the_ending_goes_behind_each_slice():
    unit = b"\0\0\0\1\x67\x42\0\0\1\x65\x88\x80\0\0\1\x65\x44\x90\0"
    assert with_ending(unit, b"\xaa\xbb") == b"\0\0\0\1\x67\x42\0\0\1\x65\x88\x80\xaa\xbb\0\0\1\x65\x44\x90\xaa\xbb\0"


def test_leading_pictures_are_decoded_from_the_period_before(moving):
    options = {"x264-params": "open-gop=1:scenecut=0:keyint=8:b-adapt=0:bframes=2", "coder": "cavlc"}
    coded = decode(encode_h264(moving(24, 96, 128), gop=8, options=options))
    clip = coded.clip
    slot, key = next((slot, key) for slot, key in clip.in_decoding_order() if 0 <= slot < key)
    number = int(clip.decode_index[slot])
    units = up_to(clip, slot, coded.access_units)
    assert coded.access_units[number] == units[-1] and len(units) > number - clip.decode_index[key] + 1
    picture, _ = last_undeblocked(units)
    assert picture is not None and picture.y.shape == (96, 128)
    whole, _ = last_undeblocked(coded.access_units[: number + 1])
    assert picture.has_samples_of(whole)
