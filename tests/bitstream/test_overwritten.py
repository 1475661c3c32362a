"""Macroblocks that the decoder had read before an error: kept as they were read, right where slices lost their ends."""

import dataclasses

import numpy as np
import pytest

from b2scvr.baselines.vector_fill import ConcealedMacroblocks
from b2scvr.bitstream.access_units import split_access_units
from b2scvr.bitstream.concealment import DISTRUSTED_BEFORE
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.nal import scan
from b2scvr.bitstream.reader import decode
from b2scvr.fill import surroundings
from b2scvr.ops.masks import at_pixels, visibly_overwritten
from b2scvr.pipeline import Pipeline
from b2scvr.types import AccessUnitStatus, PictureDamage

BROKEN = 3
INNER = 12  # of the 16 rows and columns of a macroblock: deblocking with the next one does not reach them


def cut_off(data):
    return data[: len(data) * 4 // 5]


def without_some(data):
    return data[: len(data) // 3] + data[len(data) // 3 + 40 :]


def damaged(moving, harm, which=(BROKEN,), options=None):
    """A clean clip, and the same with `harm` done to the slices of some of its access units."""
    units, _ = split_access_units(
        encode_h264(moving(12, 192, 256, noise=6), gop=6, crf=20, options={"bf": "0", **(options or {})})
    )
    clean = decode(b"".join(units)).clip
    for index in which:
        nals = [nal for nal in scan(units[index]) if nal.is_slice]
        for nal in reversed(nals):
            unit = units[index]
            units[index] = unit[: nal.payload] + harm(unit[nal.payload : nal.end]) + unit[nal.end :]
    return clean, decode(b"".join(units))


def inner(picture):
    """Of each macroblock of a picture [H, W, 3] the samples that deblocking with later ones leaves alone."""
    rows, columns = picture.shape[0] // 16, picture.shape[1] // 16
    return picture.reshape(rows, 16, columns, 16, 3)[:, :INNER, :, :INNER].transpose(0, 2, 1, 3, 4)


@pytest.fixture(scope="module")
def cut(moving):
    return damaged(moving, cut_off)


def test_where_slices_lost_their_ends_what_arrived_is_as_it_was_sent(cut):
    clean, clip = cut[0], cut[1].clip
    found = clip.overwritten[BROKEN]
    assert clip.is_cut_off and found.arrived
    assert 0.8 * DISTRUSTED_BEFORE < found.macroblocks.sum() <= DISTRUSTED_BEFORE
    assert clip.concealed[BROKEN][found.macroblocks].all()
    misses = np.abs(inner(found.frames).astype(int) - inner(clean.frames[BROKEN]))[found.macroblocks]
    assert np.median(misses) == 0 and misses.mean() < 0.5  # the last row of macroblocks may not be deblocked yet
    shown = np.abs(inner(clip.frames[BROKEN]).astype(int) - inner(clean.frames[BROKEN]))[found.macroblocks]
    assert shown.mean() > 10 * misses.mean()


def test_all_maps_are_those_of_what_was_read(cut):
    clean, clip = cut[0], cut[1].clip
    found = clip.overwritten[BROKEN]
    for name in ("mode", "partition", "qp"):
        assert np.array_equal(getattr(found, name)[found.macroblocks], getattr(clean, name)[BROKEN][found.macroblocks])
    cells = found.macroblocks.repeat(2, 0).repeat(2, 1)
    assert np.array_equal(found.mv_past[cells], clean.mv_past[BROKEN][cells])
    elsewhere = ~at_pixels(found.macroblocks, *clip.frames.shape[1:3])
    assert not found.frames[elsewhere].any() and not found.planes.y[elsewhere].any()


def test_where_bits_are_missing_inside_nothing_is_vouched_for(moving):
    _, coded = damaged(moving, without_some)
    clip, found = coded.clip, coded.clip.overwritten[BROKEN]
    assert not clip.is_cut_off and not found.arrived and found.macroblocks.any()
    plain = decode(coded.stream(), concealment="0").clip
    there = at_pixels(found.macroblocks, *clip.frames.shape[1:3])
    assert np.array_equal(found.frames[there], plain.frames[BROKEN][there]) and not plain.overwritten
    around = surroundings(clip, BROKEN)
    assert np.array_equal(around.decoded[there], found.frames[there])
    assert np.array_equal(around.window[around.current], around.decoded)
    assert np.array_equal(around.distrusted, found.macroblocks)
    assert not around.candidate_valid[0][there].any() and not around.concealed[found.macroblocks].any()


def test_surroundings_show_what_arrived(cut):
    clip = cut[1].clip
    found, around = clip.overwritten[BROKEN], surroundings(clip, BROKEN)
    there = at_pixels(found.macroblocks, *clip.frames.shape[1:3])
    assert np.array_equal(around.decoded, np.where(there[..., None], found.frames, clip.frames[BROKEN]))
    assert around.distrusted is None and around.candidate_valid[0][there].all()
    assert np.array_equal(around.concealed, clip.concealed[BROKEN] & ~found.macroblocks)
    other = surroundings(dataclasses.replace(clip, exhausted=np.zeros_like(clip.exhausted)), BROKEN)
    assert np.array_equal(other.distrusted, found.macroblocks)  # nothing vouches for it then
    assert np.array_equal(other.decoded, around.decoded) and not other.candidate_valid[0][there].any()


@pytest.mark.parametrize(
    ("which", "options", "told"),
    [
        ((BROKEN, 5, 8), {}, [BROKEN, 8]),  # what is decoded behind a broken picture depends on it
        ((BROKEN,), {"slices": "2"}, [BROKEN]),
        ((BROKEN,), {"x264-params": "tff=1"}, []),  # macroblocks come in pairs
    ],
    ids=["periods", "slices", "interlaced"],
)
def test_the_first_broken_picture_of_each_period_is_told_of(moving, which, options, told):
    _, coded = damaged(moving, cut_off, which, options)
    assert (coded.clip.status[list(which)] == AccessUnitStatus.BROKEN).all()
    assert sorted(coded.clip.overwritten) == told
    for found in coded.clip.overwritten.values():
        starts = coded.clip.slice_start[BROKEN].ravel()
        assert not found.macroblocks.ravel()[np.flatnonzero(starts)].any() or found.macroblocks.sum() < 98


class Blank:
    """Finds nothing wrong, or everything; restores with black."""

    def __init__(self, probability):
        self.probability = probability

    def detect(self, around):
        shape = around.decoded.shape[:2]
        macroblocks = np.maximum(around.concealed, np.full(around.concealed.shape, self.probability))
        return PictureDamage(macroblocks.astype(np.float32), at_pixels(macroblocks, *shape).astype(np.float32), 1.0)

    def restore(self, around, damage):
        return np.zeros_like(around.decoded)


@pytest.mark.parametrize("mode", ["splice", "drift", "frames"])
def test_what_arrived_is_put_back(cut, mode):
    clean, coded = cut
    found = coded.clip.overwritten[BROKEN]
    recovered = Pipeline(Blank(0.0), Blank(0.0), mode=mode, decode=decode).recover(coded)
    shown = np.abs(inner(recovered.frames[BROKEN]).astype(int) - inner(clean.frames[BROKEN]))[found.macroblocks]
    assert recovered.mode == mode and shown.mean() < 2  # RGB rounding, and what is not deblocked
    changed = visibly_overwritten(coded.clip, BROKEN)
    assert changed.any() and recovered.masks.masks[BROKEN][changed].mean() > 0.9


def test_a_detector_that_finds_garbage_there_is_believed(cut):
    """One picture alone can seem to be cut off where bits are missing inside."""
    coded = cut[1]
    recovered = Pipeline(Blank(0.9), Blank(0.9), mode="frames", decode=decode).recover(coded)
    assert not recovered.frames[BROKEN].any()


def test_masks_tell_what_the_decoder_shows(cut):
    """What was overwritten is damage in what is shown, however right it was."""
    coded = cut[1]
    masks = Pipeline(Blank(0.0), Blank(0.0), decode=decode).detect(coded).masks
    changed = visibly_overwritten(coded.clip, BROKEN)
    assert masks[BROKEN][changed].all()
    assert not visibly_overwritten(coded.clip, 0).any()


def test_hindsight_is_not_asked_what_the_restorer_shows_where_nothing_is_wrong(cut):
    """The classical detector's damage; a restorer may paint anything outside it."""
    coded, found = cut[1], []

    class Painted:
        def __init__(self, level):
            self.level = level

        def restore(self, around, damage):
            inside = at_pixels(damage.macroblocks > 0, *around.decoded.shape[:2])[..., None]
            return np.where(inside, around.fill, self.level).astype(np.uint8)

    for level in (0, 255):
        pipeline = Pipeline(ConcealedMacroblocks(), Painted(level), decode=decode, hindsight=True)
        found.append(pipeline.recover(coded).frames)
    assert np.array_equal(*found) and not np.array_equal(found[0], coded.clip.frames)
