"""Which picture to restore next, restored pictures back in their stream, and vectors as they were sent."""

import copy
from dataclasses import replace

import numpy as np
import pytest

from b2scvr.bitstream.damage import CutModel, damage
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.nal import scan
from b2scvr.bitstream.reader import decode
from b2scvr.bitstream.repair import next_broken, require_spliceable, restore_vectors, splice_stream
from b2scvr.types import AccessUnitStatus, PictureType, SpliceError

B_PICTURES = {"x264-params": "b-adapt=0:bframes=3:b-pyramid=2"}
FIELDS = ("mv_past", "mv_future", "mv_past_valid", "mv_future_valid")


@pytest.fixture(scope="module")
def stream(moving):
    return encode_h264(moving(20), options=B_PICTURES)


@pytest.fixture(scope="module")
def clean(stream):
    return decode(stream)


@pytest.fixture(scope="module")
def broken(stream, clean):
    """A clip whose first P picture after the key picture is broken, and nothing else."""
    for seed in range(40):
        damaged = decode(damage(stream, CutModel(1, length=200, seed=seed))[0])
        hurt = np.flatnonzero(damaged.clip.status == AccessUnitStatus.BROKEN)
        if 4 in hurt:
            assert damaged.clip.picture_type[4] == PictureType.P
            return damaged
    raise AssertionError("no seed breaks picture 4")


def _different(first, second):
    """Pictures whose vectors differ between two clips."""
    return [t for t in range(len(first)) if any((getattr(first, f)[t] != getattr(second, f)[t]).any() for f in FIELDS)]


def test_vectors_come_back_as_they_were_sent(clean, broken):
    coded = copy.deepcopy(broken)
    lost = set(np.flatnonzero(coded.clip.status == AccessUnitStatus.BROKEN))
    around = set(_different(coded.clip, clean.clip)) - lost
    assert around >= {1, 2, 3} and all(coded.clip.picture_type[t] == PictureType.B for t in around)
    before = {t: coded.clip.mv_past[t].copy() for t in lost}
    restore_vectors(coded, decode)
    assert set(_different(coded.clip, clean.clip)) <= lost
    assert all(np.array_equal(coded.clip.mv_past[t], before[t]) for t in lost)
    assert np.array_equal(coded.clip.frames, broken.clip.frames)


def never(data):
    raise AssertionError("nothing to decode again")


def test_an_intact_clip_is_left_alone(clean):
    coded = copy.deepcopy(clean)
    restore_vectors(coded, never)
    assert _different(coded.clip, clean.clip) == []


@pytest.mark.parametrize("seed", range(4))
def test_without_b_pictures_vectors_come_as_they_were_sent(moving, seed):
    stream = encode_h264(moving(20), options={"bf": "0", "refs": "3"})
    coded = decode(damage(stream, CutModel(1, length=200, seed=seed))[0])
    lost = set(np.flatnonzero(coded.clip.status == AccessUnitStatus.BROKEN))
    assert lost and (coded.clip.status == AccessUnitStatus.DEPENDENT).any()
    restore_vectors(coded, never)
    assert set(_different(coded.clip, decode(stream).clip)) <= lost


def test_a_probe_of_another_length_is_refused(broken, clean):
    with pytest.raises(SpliceError, match="3 pictures, not 20"):
        restore_vectors(copy.deepcopy(broken), lambda data: decode(b"".join(clean.access_units[:3])))


def test_true_pictures_in_the_stream_repair_the_clip(clean, broken, play):
    truth, _ = play(clean.access_units)
    hurt = np.flatnonzero(broken.clip.status == AccessUnitStatus.BROKEN)
    pictures = {int(t): truth[int(broken.clip.decode_index[t])] for t in hurt}
    units = splice_stream(broken, pictures)
    assert [i for i, unit in enumerate(units) if unit != broken.access_units[i]] == sorted(
        broken.clip.decode_index[hurt]
    )
    repaired = decode(b"".join(units)).clip
    assert (repaired.status == AccessUnitStatus.INTACT).all()
    assert np.array_equal(repaired.frames, clean.clip.frames)


def test_next_broken_is_the_first_in_decoding_order_of_each_idr_period(clean):
    clip = copy.deepcopy(clean.clip)
    assert clip.is_key[[0, 16]].all()
    assert next_broken(clip, set()) == []
    clip.status[[2, 4, 7, 17, 18]] = AccessUnitStatus.BROKEN
    clip.status[[1, 3, 19]] = AccessUnitStatus.DEPENDENT
    first = min((17, 18), key=lambda t: clip.decode_index[t])
    assert clip.decode_index[4] < clip.decode_index[2]
    assert next_broken(clip, set()) == [4, first]
    assert next_broken(clip, {4, first}) == [2, 35 - first]
    assert next_broken(clip, {2, 4, 7, 17, 18}) == []


def test_the_head_of_a_period_waits_for_what_is_shown_before_it(clean):
    clip = copy.deepcopy(clean.clip)
    clip.status[[4, 16]] = AccessUnitStatus.BROKEN
    assert next_broken(clip, set()) == [4, 16]  # what is shown before picture 16 is right
    clip.status[15] = AccessUnitStatus.DEPENDENT
    assert next_broken(clip, set()) == [4]
    assert next_broken(clip, {4}) == [16]  # nothing is left to wait for
    clip.status[[16, 17]] = AccessUnitStatus.INTACT, AccessUnitStatus.BROKEN
    assert next_broken(clip, set()) == [4, 17]  # picture 16 is right


def test_leading_pictures_wait_for_the_period_before(clean):
    """Pictures 14 and 15 are decoded behind key picture 16, as behind a recovery point, and predict from both sides."""
    clip = copy.deepcopy(clean.clip)
    clip.decode_index[12:] = [12, 13, 15, 16, 14, 17, 18, 19]
    clip.status[[4, 14, 15, 18]] = AccessUnitStatus.BROKEN
    assert next_broken(clip, set()) == [4, 18]
    assert next_broken(clip, {4, 18}) == [14]
    assert next_broken(clip, {4, 14, 18}) == [15]
    clip.status[[4, 16]] = AccessUnitStatus.INTACT, AccessUnitStatus.BROKEN
    assert next_broken(clip, set()) == [16]
    assert next_broken(clip, {16}) == [14, 18]  # the leading one is not what picture 18 waits for


def test_streams_that_cannot_be_spliced(clean, broken):
    require_spliceable(broken)
    with pytest.raises(SpliceError, match="hevc"):
        require_spliceable(replace(broken, clip=replace(broken.clip, codec="hevc")))
    with pytest.raises(SpliceError, match="parameter sets"):
        require_spliceable(replace(broken, access_units=[b"\0\0\1\x41\x9a\x22"]))
    with pytest.raises(SpliceError, match="samples of picture"):
        require_spliceable(replace(broken, clip=replace(broken.clip, planes={})))


def test_temporal_direct_pictures_keep_the_vectors_they_decoded_to(moving):
    options = {"x264-params": "b-adapt=0:bframes=3:b-pyramid=2:direct=temporal"}
    coded = decode(damage(encode_h264(moving(20), options=options), CutModel(1, length=200, seed=1))[0])
    assert (coded.clip.status == AccessUnitStatus.BROKEN).any()
    before = copy.deepcopy(coded)
    restore_vectors(coded, decode)
    b_pictures = coded.clip.picture_type == PictureType.B
    assert b_pictures.any() and not any(b_pictures[t] for t in _different(coded.clip, before.clip))


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le"])
def test_slices_whose_samples_stay_are_sent_as_they_were(pix_fmt, moving):
    """Of a picture of 90x122 in three slices the last one is cut off, and one macroblock of the first one changed."""
    options = {"bf": "0", "x264-params": "slices=3:no-deblock=1"}
    stream = encode_h264(moving(8, 90, 122), options=options, pix_fmt=pix_fmt)
    units = decode(stream).access_units
    last = [nal for nal in scan(units[4]) if nal.is_slice][-1]
    units[4] = units[4][: last.payload + 12]
    coded = decode(b"".join(units))
    planes = coded.clip.planes[4]
    assert coded.clip.concealed[4, 4:].any() and not coded.clip.concealed[4, :4].any()

    def kept(pictures):
        sent, new = ([u[n.payload : n.end] for n in scan(u) if n.is_slice] for u in (units[4], pictures[4]))
        return [len(old) > len(same) - 3 for old, same in zip(sent, new, strict=True)]

    assert kept(splice_stream(coded, {4: planes})) == [True, True, False]
    changed = copy.deepcopy(planes)
    changed.u[3, 5] ^= 1
    assert kept(splice_stream(coded, {4: changed})) == [False, True, False]
    changed.y[15, 0] ^= 1
    assert kept(splice_stream(coded, {4: changed})) == [False, True, False]
