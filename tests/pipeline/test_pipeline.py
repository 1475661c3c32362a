"""The whole path with a perfect detector and restorer: what is put back right comes out right everywhere."""

import dataclasses

import numpy as np
import pytest
import torch

from b2scvr.bitstream import reader
from b2scvr.bitstream.damage import CutModel, damage
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.nal import scan
from b2scvr.data.pairs import wrong_macroblocks
from b2scvr.metrics.masks import mask_scores
from b2scvr.ops.masks import at_pixels, damage_mask
from b2scvr.pipeline import Pipeline
from b2scvr.types import AccessUnitStatus, InputError, PictureDamage, SpliceError


class Oracle:
    """Knows the clean clip."""

    def __init__(self, clean):
        self.frames = clean.frames

    def detect(self, surroundings):
        height, width = surroundings.decoded.shape[:2]
        return PictureDamage(
            np.ones(surroundings.concealed.shape, np.float32), np.ones((height, width), np.float32), 1.0
        )

    def restore(self, surroundings, damage):
        return self.frames[surroundings.index]


def texture(pictures=32, height=80, width=112):
    rng = np.random.default_rng(1)
    big = rng.integers(0, 255, (height + 100, width + 100, 3)).astype(np.float32)
    for axis in (0, 1, 0, 1):
        big = (np.roll(big, 1, axis) + big + np.roll(big, -1, axis)) / 3
    return np.stack([big[t : t + height, 2 * t : 2 * t + width] for t in range(pictures)]).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def streams():
    clean = encode_h264(texture(), gop=16)
    return clean, damage(clean, CutModel(slices_per_gop=2, position=0.4, length=300, seed=5))[0]


def psnr(a, b):
    return 10 * np.log10(255**2 / max(1e-3, ((a.astype(float) - b) ** 2).mean()))


def test_true_pictures_put_back_repair_every_frame(streams):
    clean, damaged = reader.decode(streams[0]).clip, reader.decode(streams[1])
    before = psnr(damaged.clip.frames, clean.frames)
    recovered = Pipeline(Oracle(clean), Oracle(clean), decode=reader.decode).recover(damaged)
    assert recovered.mode == "splice" and recovered.repaired
    assert psnr(recovered.frames, clean.frames) > max(before + 10, 38)  # RGB rounding is all that is left
    repaired = reader.decode(recovered.repaired).clip
    assert np.array_equal(repaired.frames, recovered.frames)
    assert (repaired.status == AccessUnitStatus.INTACT).all()


def test_frames_that_nothing_touched_stay_bit_for_bit(streams):
    clean, damaged = reader.decode(streams[0]).clip, reader.decode(streams[1])
    intact = damaged.clip.status == AccessUnitStatus.INTACT
    for mode in ("splice", "frames"):
        recovered = Pipeline(Oracle(clean), Oracle(clean), mode=mode, decode=reader.decode).recover(damaged)
        assert np.array_equal(recovered.frames[intact], clean.frames[intact])
        assert not recovered.masks.masks[intact].any()


class Blur(Oracle):
    """Restores smoothly: what was lost, but half way towards the damage."""

    def restore(self, surroundings, damage):
        return ((super().restore(surroundings, damage).astype(int) + surroundings.decoded) // 2).astype(np.uint8)


def test_masks_ask_the_fill_beside_the_restored_picture(streams):
    clean, damaged = reader.decode(streams[0]).clip, reader.decode(streams[1])
    recovered = Pipeline(Oracle(clean), Blur(clean), decode=reader.decode).recover(damaged)
    true = np.stack([damage_mask(*pair) for pair in zip(damaged.clip.frames, clean.frames, strict=True)])
    alone = np.stack([damage_mask(*pair) for pair in zip(damaged.clip.frames, recovered.frames, strict=True)])
    assert mask_scores(recovered.masks.masks, true).iou > mask_scores(alone, true).iou + 0.03


def test_the_fills_have_a_stream_of_their_own_where_something_else_was_restored(streams):
    clean, damaged = reader.decode(streams[0]).clip, reader.decode(streams[1])

    class Fill(Oracle):
        def restore(self, surroundings, damage):
            return surroundings.fill

    class Inverted(Oracle):
        def restore(self, surroundings, damage):
            return 255 - surroundings.fill

    def streams_decoded(restorer):
        decoded = []

        def decode(data):
            decoded.append(data)
            return reader.decode(data)

        repaired = Pipeline(Oracle(clean), restorer(clean), decode=decode).recover(damaged).repaired
        assert repaired in decoded
        return decoded

    alone, beside = streams_decoded(Fill), streams_decoded(Inverted)
    assert len(beside) == len(alone) + 1 and alone[-1] in beside


def test_hindsight_brings_what_was_restored_wrongly_nearer_to_the_truth():
    stream = encode_h264(texture(), gop=16, options={"bf": "0"})
    cut = CutModel(slices_per_gop=1, position=0.4, length=100, seed=3)
    clean, damaged = reader.decode(stream).clip, reader.decode(damage(stream, cut)[0])

    class Brighter(Oracle):
        def detect(self, surroundings):
            wrong = wrong_macroblocks(surroundings.decoded, clean.frames[surroundings.index], 0)
            pixels = at_pixels(wrong, *surroundings.decoded.shape[:2])
            return PictureDamage(wrong.astype(np.float32), pixels.astype(np.float32), 1.0)

        def restore(self, surroundings, damage):
            return np.clip(super().restore(surroundings, damage).astype(int) + 20, 0, 255).astype(np.uint8)

    plain, better = (
        Pipeline(Brighter(clean), Brighter(clean), decode=reader.decode, hindsight=hindsight).recover(damaged)
        for hindsight in (False, True)
    )
    gains = [psnr(better.frames[s], clean.frames[s]) - psnr(plain.frames[s], clean.frames[s]) for s in plain.restored]
    assert max(gains) > 0.8 and min(gains) > -0.1
    assert np.array_equal(reader.decode(better.repaired).clip.frames, better.frames)


def test_a_picture_that_nothing_could_be_done_for_is_as_damaged_as_the_detector_says(streams):
    clean = reader.decode(streams[0])
    unit = bytearray(clean.access_units[0])
    unit[len(unit) // 2 : len(unit) // 2 + 40] = b"\x55" * 40
    alone = reader.decode(bytes(unit))
    assert alone.clip.status.tolist() == [AccessUnitStatus.BROKEN]

    class Unmoved(Oracle):
        def restore(self, surroundings, damage):
            return alone.clip.frames[surroundings.index]

    recovered = Pipeline(Oracle(clean.clip), Unmoved(clean.clip), decode=reader.decode).recover(alone)
    assert recovered.mode == "splice" and recovered.masks.masks.all()


def test_pictures_restored_side_by_side_come_out_as_in_a_row(streams):
    clean, damaged = reader.decode(streams[0]).clip, reader.decode(streams[1])
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(Pipeline(Oracle(clean), Blur(clean), decode=reader.decode).recover(damaged))
    finally:
        torch.set_num_threads(before)
    row, side = found
    assert len(row.restored) > 1 and row.restored == side.restored and row.repaired == side.repaired
    assert np.array_equal(row.masks.masks, side.masks.masks) and set(row.seconds) == set(side.seconds)


def test_what_predicts_from_what_never_arrived_is_restored_and_masks_show_the_rest(streams):
    clean, whole = reader.decode(streams[0]).clip, reader.decode(streams[1])
    slot = int(np.flatnonzero(whole.clip.is_reference & (np.arange(len(whole.clip)) > 16))[1])
    gone = int(whole.clip.decode_index[slot])  # a picture that never arrived
    damaged = reader.decode(b"".join(unit for index, unit in enumerate(whole.access_units) if index != gone))
    damaged.is_timed = True  # nothing can be put in its place
    recovered = Pipeline(Oracle(clean), Oracle(clean), mode="splice", decode=reader.decode).recover(damaged)
    broken = set(np.flatnonzero(damaged.clip.status == AccessUnitStatus.BROKEN))
    orphans = set(recovered.restored) - broken  # they predict from what never arrived
    assert orphans and all(damaged.clip.status[slot] == AccessUnitStatus.DEPENDENT for slot in orphans)
    left = reader.decode(recovered.repaired).clip.status == AccessUnitStatus.DEPENDENT
    assert left[17:].any() and not left[:16].any()
    assert recovered.masks.masks[left].all() and not set(np.flatnonzero(left)) & set(recovered.restored)


def test_frames_mode_restores_every_damaged_picture(streams):
    clean, damaged = reader.decode(streams[0]).clip, reader.decode(streams[1])
    recovered = Pipeline(Oracle(clean), Oracle(clean), mode="frames").recover(damaged)
    assert recovered.repaired is None and np.array_equal(recovered.frames, clean.frames)


def test_an_undamaged_stream_comes_back_as_it_was(streams):
    coded = reader.decode(streams[0])
    recovered = Pipeline(Oracle(coded.clip), Oracle(coded.clip)).recover(coded)
    assert recovered.mode == "untouched" and recovered.repaired == streams[0]
    assert np.array_equal(recovered.frames, coded.clip.frames)


def test_given_masks_choose_the_pixels(streams):
    clean, damaged = reader.decode(streams[0]).clip, reader.decode(streams[1])
    masks = np.zeros(damaged.clip.frames.shape[:3], np.uint8)
    masks[3, 10:20, 5:30] = 1
    recovered = Pipeline(Oracle(clean), Oracle(clean)).recover(damaged, masks)
    changed = (recovered.frames != damaged.clip.frames).any(axis=3)
    assert not changed[masks == 0].any()
    assert np.array_equal(recovered.frames[3, 10:20, 5:30], clean.frames[3, 10:20, 5:30])


def test_masks_of_another_shape_are_refused(streams):
    damaged = reader.decode(streams[1])
    with pytest.raises(ValueError, match="masks"):
        Pipeline(Oracle(damaged.clip), Oracle(damaged.clip)).recover(damaged, np.zeros((2, 8, 8), np.uint8))


def test_what_cannot_be_spliced_is_recovered_in_frames_mode_with_a_note(streams):
    clean, damaged = reader.decode(streams[0]).clip, reader.decode(streams[1])
    none = np.zeros_like(damaged.clip.mv_past_valid)
    hevc = dataclasses.replace(damaged.clip, codec="hevc", mv_past_valid=none, mv_future_valid=none)
    other = dataclasses.replace(damaged, clip=hevc)
    recovered = Pipeline(Oracle(clean), Oracle(clean)).recover(other)
    assert recovered.mode == "frames" and any("H.264" in note for note in recovered.notes)
    with pytest.raises(SpliceError):
        Pipeline(Oracle(clean), Oracle(clean), mode="splice").recover(other)


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="sideways"):
        Pipeline(None, None, mode="sideways")


def test_a_smaller_working_size_still_writes_the_native_one(streams):
    damaged = reader.decode(streams[1])
    seen = []

    class Small(Oracle):
        def restore(self, surroundings, damage):
            seen.append(surroundings.decoded.shape)
            return surroundings.fill

    recovered = Pipeline(Oracle(damaged.clip), Small(damaged.clip), size=(64, 48), decode=reader.decode).recover(
        damaged
    )
    assert seen and all(shape == (48, 64, 3) for shape in seen)
    assert recovered.frames.shape == damaged.clip.frames.shape


def without_header(streams, lost):
    """The clean stream without the slice headers of some access units, read."""
    units = reader.decode(streams[0]).access_units
    headers = [next(nal.payload for nal in scan(unit) if nal.is_slice) for unit in units]
    return reader.decode(
        b"".join(u[: h + 2] if n in lost else u for n, (u, h) in enumerate(zip(units, headers, strict=True)))
    )


@pytest.mark.parametrize("lost", [{4}, {16}, {2, 20}], ids=str)
def test_lost_access_units_are_rebuilt_and_restored(streams, lost):
    clean, damaged = reader.decode(streams[0]).clip, without_header(streams, lost)
    assert set(damaged.clip.decode_index[damaged.clip.lost]) >= lost and len(damaged.clip) == 32
    recovered = Pipeline(Oracle(clean), Oracle(clean), decode=reader.decode).recover(damaged)
    assert recovered.mode == "splice" and any("times as large" in note for note in recovered.stream_notes)
    repaired = reader.decode(recovered.repaired).clip
    assert not repaired.lost.any() and np.array_equal(repaired.frames, recovered.frames)
    assert np.array_equal(repaired.decode_index, clean.decode_index)
    assert set(recovered.restored) == {int(np.flatnonzero(clean.decode_index == index)[0]) for index in lost}
    assert psnr(recovered.frames, clean.frames) > 38
    assert len(damaged.clip.frames) == 32 and damaged.clip.lost.sum() >= len(lost)  # the argument stays as it was


@pytest.mark.parametrize("absent", [1, 16], ids=["P", "IDR"])
def test_reference_pictures_of_which_nothing_arrived_are_put_in_but_not_shown(streams, absent):
    coded = reader.decode(streams[0])
    clean, units = coded.clip, list(coded.access_units)
    first = next(nal.start for nal in scan(units[absent]) if nal.is_slice)
    units[absent : absent + 2] = [units[absent][:first] + units[absent + 1]]
    damaged = reader.decode(b"".join(units))
    recovered = Pipeline(Oracle(clean), Oracle(clean), decode=reader.decode).recover(damaged)
    (slot,) = recovered.added
    assert clean.decode_index[slot] == absent and len(recovered.frames) == len(recovered.masks.masks) == 31
    truth = np.delete(clean.frames, slot, axis=0)
    assert psnr(recovered.frames, truth) > 38 > 30 > psnr(damaged.clip.frames, truth)
    assert np.array_equal(np.delete(reader.decode(recovered.repaired).clip.frames, slot, axis=0), recovered.frames)
    assert any("1 more" in note for note in recovered.notes)
    changed = (recovered.frames != damaged.clip.frames).any(axis=(1, 2, 3))
    assert recovered.masks.masks.any(axis=(1, 2))[changed].mean() > 0.9


def test_a_lost_access_unit_whose_numbering_cannot_be_told_is_recovered_in_frames_mode(streams):
    damaged = without_header(streams, {3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20})
    lost = int(np.flatnonzero(damaged.clip.lost)[0])
    assert damaged.clip.concealed[lost].all()
    assert np.array_equal(damaged.clip.frames[lost], damaged.clip.frames[lost - 1])
    recovered = Pipeline(Oracle(damaged.clip), Oracle(damaged.clip), decode=reader.decode).recover(damaged)
    assert recovered.mode == "frames" and any("lost" in note for note in recovered.notes)


class Tracker(Oracle):
    """Marks the damaged pictures wholly, from the first mask on where there is one; goes from picture to picture."""

    def begin(self, first_mask=None):
        self.first_mask, self.is_finished = first_mask, False
        return self

    def follow(self, clip, own, before=0):
        for slot, status in enumerate(clip.status[own.start :], own.start):
            damaged = status != AccessUnitStatus.INTACT and before + slot >= (self.first_mask or (0,))[0]
            mask = np.full(clip.frames.shape[1:3], float(damaged), np.float32)
            yield PictureDamage(np.full(clip.mode.shape[1:], float(damaged), np.float32), mask, 0.25)

    def finish(self):
        self.is_finished = True

    def detect(self, surroundings):
        raise AssertionError("a tracker is not asked for one picture")


def test_a_detector_that_tracks_goes_through_the_clip(streams):
    clean, damaged = reader.decode(streams[0]).clip, reader.decode(streams[1])
    tracker = Tracker(clean)
    pipeline = Pipeline(tracker, Oracle(clean), decode=reader.decode)
    touched = damaged.clip.status != AccessUnitStatus.INTACT
    start = int(np.flatnonzero(touched)[2])
    found = pipeline.detect(damaged, first_mask=(start, np.ones(damaged.clip.frames.shape[1:3], np.uint8)))
    assert tracker.first_mask[0] == start and (found.confidence == 0.25).all() and tracker.is_finished
    assert np.array_equal(found.masks.any(axis=(1, 2)), touched & (np.arange(len(touched)) >= start))
    recovered = pipeline.recover(damaged)
    assert recovered.mode == "frames" and np.array_equal(recovered.frames, clean.frames)
    untouched = reader.decode(streams[0])
    assert pipeline.recover(untouched).mode == "untouched"
    with pytest.raises(SpliceError, match="whole clips"):
        Pipeline(tracker, Oracle(clean), mode="splice", decode=reader.decode).recover(damaged)


def test_a_first_mask_needs_a_detector_that_tracks(streams):
    damaged = reader.decode(streams[1])
    oracle, size = Oracle(damaged.clip), damaged.clip.frames.shape[1:3]
    with pytest.raises(InputError, match="takes no first mask"):
        Pipeline(oracle, oracle).detect(damaged, first_mask=(0, np.ones(size, np.uint8)))
    with pytest.raises(InputError, match=f"first mask is 8x4, the input {size[1]}x{size[0]}"):
        Pipeline(Tracker(damaged.clip), oracle).detect(damaged, first_mask=(0, np.ones((4, 8), np.uint8)))


def test_a_detector_may_need_the_whole_clip():
    assert not Pipeline(Tracker, None).needs_clip and not Pipeline(None, None).needs_clip
    assert Pipeline(type("Whole", (Tracker,), {"needs_clip": True}), None).needs_clip
