"""What the next right picture says of a restored one: errors of known size, carried along known vectors."""

import numpy as np
import pytest

from b2scvr.bitstream.damage import CutModel, damage
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.reader import decode
from b2scvr.data.pairs import wrong_macroblocks
from b2scvr.fill import hindsight as hindsight_module
from b2scvr.fill.hindsight import _put_back, _trace, hindsight
from b2scvr.fill.surroundings import surroundings
from b2scvr.ops.masks import at_pixels
from b2scvr.types import MISSING_REFERENCE, UNKNOWN_REFERENCE, AccessUnitStatus

BROKEN, NEXT = 1, 5
STEP = 2  # pixels to the right a picture, of the texture of `parsed_clip`
DAMAGE, ERROR = 40, 24  # levels: of what was decoded, of what was restored
LEFT, RIGHT, TOP = 24, 96, 48


def damaged_area(moved=0):
    area = np.zeros((96, 128), bool)
    area[TOP:, LEFT + moved : RIGHT + moved] = True
    return area


def changed(picture, by, where):
    return (picture + by * where[..., None].astype(int)).astype(np.uint8)


def mean_square(picture, truth):
    return ((picture.astype(np.float32) - truth) ** 2)[damaged_area()].mean()


@pytest.fixture
def carried(parsed_clip):
    """Picture 1 lost its lower middle, pictures 2 to 4 carry that on along their vectors, 5 is right; and the truth."""
    clip = parsed_clip
    clip.frames[:] = truth = clip.frames // 2 + 64  # nothing is clipped below
    for slot in range(BROKEN, NEXT):
        clip.frames[slot] = changed(truth[slot], -DAMAGE, damaged_area(STEP * (slot - BROKEN)))
        clip.mv_past[slot], clip.mv_past_valid[slot], clip.past_reference[slot] = (-STEP, 0), True, slot - 1
    clip.status[BROKEN], clip.status[BROKEN + 1 : NEXT] = AccessUnitStatus.BROKEN, AccessUnitStatus.DEPENDENT
    return clip, truth.copy()


@pytest.mark.parametrize("error", [ERROR, -ERROR])
def test_most_of_an_error_is_seen_in_hindsight(carried, error):
    clip, truth = carried
    restored = changed(truth[BROKEN], error, damaged_area())
    better = hindsight(clip, BROKEN, NEXT, restored, damaged_area())
    assert mean_square(better, truth[BROKEN]) < 0.2 * mean_square(restored, truth[BROKEN])
    assert np.array_equal(better[~damaged_area()], restored[~damaged_area()])


def test_what_was_restored_right_stays(carried):
    clip, truth = carried
    better = hindsight(clip, BROKEN, NEXT, truth[BROKEN], damaged_area())
    assert mean_square(better, truth[BROKEN]) < 1


def test_a_guess_near_to_what_is_seen_spares_its_noise(carried):
    clip, truth = carried
    noise = np.random.default_rng(0).normal(0, 6, truth[NEXT].shape)
    clip.frames[NEXT] = np.clip(truth[NEXT] + noise, 0, 255).round()
    restored, bad = (changed(truth[BROKEN], by, damaged_area()) for by in (ERROR, -2 * ERROR))
    ripple = np.indices(restored.shape).sum(0) % 3 - 1  # what a good guess differs by
    good = (truth[BROKEN] + ripple).astype(np.uint8)
    alone, helped, misled = (
        mean_square(hindsight(clip, BROKEN, NEXT, restored, damaged_area(), guesses), truth[BROKEN])
        for guesses in ([], [good, bad], [bad])
    )
    assert helped < 0.2 * alone and misled < 1.1 * alone


def test_guesses_are_chosen_place_by_place(carried):
    clip, truth = carried
    left, right = damaged_area(), damaged_area()
    left[:, (LEFT + RIGHT) // 2 :], right[:, : (LEFT + RIGHT) // 2] = False, False
    halves = [changed(truth[BROKEN], 2 * ERROR, half) for half in (left, right)]  # each is right where the other is not
    restored = changed(truth[BROKEN], 2 * ERROR, damaged_area())
    better = hindsight(clip, BROKEN, NEXT, restored, damaged_area(), halves)
    away = damaged_area()
    away[:, (LEFT + RIGHT) // 2 - 16 : (LEFT + RIGHT) // 2 + 16] = False
    assert ((better.astype(float) - truth[BROKEN]) ** 2)[away].mean() < 0.02 * mean_square(restored, truth[BROKEN])


def test_where_guesses_of_the_motion_disagree_less_is_believed(carried, monkeypatch):
    clip, truth = carried
    half = (slice(TOP, None), slice(LEFT, (LEFT + RIGHT) // 2))
    for slot, by in ((NEXT - 2, 5), (NEXT, -5)):  # there nothing moves at constant velocity
        clip.frames[slot][half] = np.roll(clip.frames[slot][half], by, axis=1)
    far, seen = damaged_area(), []
    far[:, : (LEFT + RIGHT) // 2 + 32] = False
    for agreeing in (hindsight_module.AGREEING, 1e9):  # with and without
        monkeypatch.setattr(hindsight_module, "AGREEING", agreeing)
        better = hindsight(clip, BROKEN, NEXT, truth[BROKEN], damaged_area())
        seen.append(((better.astype(float) - truth[BROKEN]) ** 2)[half].mean())
        wrongly = changed(truth[BROKEN], ERROR, damaged_area())
        better = hindsight(clip, BROKEN, NEXT, wrongly, damaged_area())
        assert ((better.astype(float) - truth[BROKEN]) ** 2)[far].mean() < 0.2 * ERROR**2  # elsewhere it is
    assert seen[0] < 0.5 * seen[1] and seen[1] > 1


def lose_the_vectors(clip):
    clip.mv_past_valid[NEXT - 1] = False


def do_not_tell_what_they_mean(clip):
    clip.past_reference[NEXT - 1] = UNKNOWN_REFERENCE


def lose_another(clip):
    clip.status[2] = AccessUnitStatus.BROKEN


def decode_the_next_one_first(clip):
    clip.decode_index[NEXT], clip.decode_index[BROKEN:NEXT] = BROKEN, np.arange(BROKEN + 1, NEXT + 1)


def decode_the_ones_before_it_later(clip):
    order = [0, 1, 2, 5, 3, 4]  # like B pictures: what was decoded before the next right one is three pictures from it
    clip.decode_index[:] = np.argsort(order)


def leave_nothing_between(clip):
    clip.decode_index[BROKEN], clip.decode_index[BROKEN + 1 : NEXT] = NEXT - 1, np.arange(BROKEN, NEXT - 1)


@pytest.mark.parametrize(
    "spoil",
    [
        lose_the_vectors,
        do_not_tell_what_they_mean,
        lose_another,
        decode_the_next_one_first,
        decode_the_ones_before_it_later,
        leave_nothing_between,
    ],
)
def test_without_a_way_back_the_picture_stays(carried, spoil):
    clip, truth = carried
    spoil(clip)
    restored = changed(truth[BROKEN], ERROR, damaged_area())
    assert np.array_equal(hindsight(clip, BROKEN, NEXT, restored, damaged_area()), restored)


def test_other_broken_pictures_are_gone_round(carried):
    clip, truth = carried
    clip.status[[2, 4]] = AccessUnitStatus.BROKEN
    clip.mv_past[3], clip.past_reference[3] = (-2 * STEP, 0), BROKEN
    restored = changed(truth[BROKEN], ERROR, damaged_area())
    better = hindsight(clip, BROKEN, NEXT, restored, damaged_area())
    assert mean_square(better, truth[BROKEN]) < 0.2 * mean_square(restored, truth[BROKEN])


def test_nothing_wrong_changes_nothing(carried):
    clip, truth = carried
    assert np.array_equal(hindsight(clip, BROKEN, NEXT, truth[BROKEN], np.zeros((96, 128), bool)), truth[BROKEN])


def test_places_add_up_the_vectors_on_the_way(carried):
    clip, _ = carried
    place, known = _trace(clip, BROKEN, [NEXT - 1])[NEXT - 1]
    far = STEP * (NEXT - 1 - BROKEN)
    y, x = np.mgrid[0:96, 0:128].astype(np.float32)
    inside = known > 0
    assert inside[:, far:].all() and not inside[:, :far].any()  # what came in from the left has no place there
    assert np.allclose(place[inside], np.stack([x - far, y], -1)[inside], atol=1e-4)


def test_a_pixel_with_two_vectors_needs_both_to_lead_there(carried):
    clip, _ = carried
    clip.mv_future[3], clip.mv_future_valid[3], clip.future_reference[3] = (-2 * STEP, 0), True, BROKEN
    assert (_trace(clip, BROKEN, [3])[3][1][:, 8:] > 0).all()  # list 0 leads there by way of picture 2
    clip.future_reference[3] = MISSING_REFERENCE
    assert not _trace(clip, BROKEN, [3])
    clip.future_reference[3] = 0
    assert not _trace(clip, BROKEN, [3])


def test_values_go_back_to_where_they_came_from():
    values = np.zeros((4, 6, 3), np.float32)
    values[1, 2] = 8
    y, x = np.mgrid[0:4, 0:6].astype(np.float32)
    weight = np.ones((4, 6), np.float32)
    back, told = _put_back(values, np.stack([x + 1, y + 2], -1), weight)
    assert back[3, 3].tolist() == [8, 8, 8] and back.sum() == 24
    assert told[2:, 1:].all() and not told[:2].any() and not told[:, 0].any()
    alone = np.zeros_like(weight)
    alone[1, 2] = 1
    back, told = _put_back(values, np.stack([x + 0.5, y], -1), alone)
    assert np.argwhere(told).tolist() == [[1, 2], [1, 3]] and (back[told] == 8).all()


def test_a_real_stream_tells_what_was_restored_wrongly(pictures):
    stream = encode_h264(pictures, gop=12, options={"bf": "0"})
    clean, tried = decode(stream).clip, 0
    for seed in range(4):
        damaged = decode(
            damage(stream, CutModel(slices_per_gop=1, gop=12, position=0.4, length=100, seed=seed))[0]
        ).clip
        slot = int(np.flatnonzero(damaged.status == AccessUnitStatus.BROKEN)[0])
        truth, after = clean.frames[slot], slot + int(surroundings(damaged, slot).distance[-1])
        if after < slot + 3:
            continue
        wrong = at_pixels(wrong_macroblocks(damaged.frames[slot], truth, 0), *truth.shape[:2])
        restored = np.clip(truth + 16 * wrong[..., None].astype(int), 0, 255).astype(np.uint8)
        better = hindsight(damaged, slot, after, restored, wrong)
        before, now = (((picture.astype(float) - truth) ** 2).mean() for picture in (restored, better))
        assert now < 0.5 * before
        tried += 1
    assert tried
