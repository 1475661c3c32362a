"""The published detector through a clip: from a first mask, or from what the decoder concealed; streamed."""

from __future__ import annotations

import itertools
import weakref
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch import nn

from b2scvr.backbones.sam2_video import FrameMemory
from b2scvr.dac import PublishedDetector, make_tracker
from b2scvr.dac.published_tracker import REACH, STARTS, PublishedTracker
from b2scvr.types import AccessUnitStatus, InputError, PictureType, SpliceError

OK, B, D = AccessUnitStatus.INTACT, AccessUnitStatus.BROKEN, AccessUnitStatus.DEPENDENT
SIDE = 64


class Script(nn.Module):
    """Plays the network: notes every call, and finds a mask whose logit is given for each direction."""

    image_size = SIDE

    def __init__(self, forward_logit=2.0, backward_logit=-1.0, iou=0.5, score=3.0):
        super().__init__()
        self.logits, self.iou, self.score = (forward_logit, backward_logit), iou, score
        self.calls: list[tuple] = []
        self.made: list[weakref.ref] = []
        self.most_held = 0

    @property
    def sam(self):
        return self

    def tokens(self, picture, letter):
        self.calls.append(("tokens", letter[0].tolist()))
        return torch.zeros(1, 3, 8)

    def encode(self, picture):
        assert picture.shape == (1, 3, SIDE, SIDE)
        return picture

    def start(self, features, mask, tokens):
        self.calls.append(("start", float(mask.mean())))
        return self._memory(mask[..., ::4, ::4] * 20 - 10, 1.0, 10.0)

    def track(self, features, tokens, started, recent, index, num_frames, reverse=False):
        self.calls.append(("back" if reverse else "forth", index, sorted(started), sorted(recent)))
        return self._memory(torch.full((1, 1, 16, 16), self.logits[reverse]), self.iou, self.score)

    def _memory(self, logits, iou, score):
        features = torch.zeros(1, 4, 4, 4)
        self.made.append(weakref.ref(features))
        self.most_held = max(self.most_held, sum(made() is not None for made in self.made))
        return FrameMemory(logits, torch.zeros(1, 8), torch.full((1, 1), score), torch.tensor([iou]), features, [])

    def of(self, kind):
        return [call[1:] for call in self.calls if call[0] == kind]


def first_mask(slot):
    mask = np.zeros((32, 48), np.uint8)
    mask[16:] = 1
    return slot, mask


def test_the_published_protocol_goes_forwards_from_the_first_mask(make_clip):
    clip, network = make_clip([OK, D, B, D, OK], scenes=[0, 0, 0, 1, 1]), Script()
    found = list(PublishedTracker(network).track(clip, first_mask(2)))
    assert [float(f.mask.max()) for f in found[:2]] == [0, 0] and found[0].confidence == 0
    assert np.array_equal(found[2].mask > 0.5, first_mask(2)[1] > 0) and found[2].confidence == 1
    assert found[2].macroblocks.shape == (2, 3) and (found[2].macroblocks[1] > 0.99).all()
    assert all((f.mask > 0.5).all() and f.confidence == 0.5 for f in found[3:]), "intact pictures too, as published"
    assert network.of("forth") == [(3, [2], []), (4, [2], [3])] and network.of("back") == []


def test_letters(make_clip):
    clip, network = make_clip([B, D, D, D]), Script()
    clip.picture_type[:] = [PictureType.I, PictureType.P, PictureType.B, PictureType.UNKNOWN]
    list(PublishedTracker(network).track(clip, first_mask(0)))
    assert network.of("tokens") == [([1, 0, 0],), ([0, 1, 0],), ([0, 0, 1],), ([0, 0, 0],)]


def test_it_starts_by_itself_and_remembers_starts_but_not_other_scenes(make_clip):
    clip, network = make_clip([OK, B, D, D, OK, B, D], scenes=[0, 0, 0, 1, 1, 1, 1]), Script()
    clip.damage_trace[1, 0, 0] = 1
    found = list(PublishedTracker(network).track(clip))
    assert network.of("start") == [(pytest.approx(4 / 6, abs=0.03),), (pytest.approx(0.5, abs=0.03),)]
    assert network.of("forth") == [(2, [1], []), (3, [1], []), (4, [1], [3]), (6, [5], [3, 4])]
    assert not found[0].mask.any() and not found[4].mask.any(), "the decoder vouches for these"
    assert found[4].confidence == 1 and (found[6].mask > 0.5).all()


def test_all_is_remembered_over_a_gop_border(make_clip):
    clip, network = make_clip([B, D, D, B, D, OK]), Script()
    clip.is_key[3] = True
    list(PublishedTracker(network).track(clip))
    assert network.of("forth") == [(1, [0], []), (2, [0], [1]), (4, [0, 3], [1, 2]), (5, [0, 3], [1, 2, 4])]


def test_both_directions_are_averaged_by_their_confidence(make_clip):
    status = [B] + [D] * 3 + [B]
    clip, network = make_clip(status), Script(forward_logit=2.0, backward_logit=-1.0, iou=0.5)
    found = list(PublishedTracker(network, both_directions=True).track(clip))
    assert network.of("back") == [(3, [4], []), (2, [4], [3]), (1, [4], [2, 3])]
    expected = 1 / (1 + np.exp(-0.5))  # the mean of both logits
    assert all(np.allclose(f.mask, expected, atol=1e-5) for f in found[1:4])
    assert len(network.of("tokens")) == 5, "made once a picture, for both directions"


def test_an_object_that_is_gone_is_trusted_as_far_as_it_is_sure_to_be(make_clip):
    clip = make_clip([B, D])
    gone = list(PublishedTracker(Script(forward_logit=-1024.0, score=-2.0)).track(clip))[1]
    assert not (gone.mask > 0.5).any() and gone.confidence == pytest.approx(1 - 1 / (1 + np.exp(2.0)))


@pytest.mark.parametrize("both", [False, True])
def test_what_is_held_does_not_grow_with_the_clip(make_clip, both):
    most = []
    for pictures in (50, 2000):
        network = Script()
        clip = make_clip([B if slot % 40 == 8 else D for slot in range(pictures)])
        for _ in PublishedTracker(network, both_directions=both).track(clip):
            pass
        most.append(network.most_held)
    assert max(most) <= 2 * 7 + STARTS + 1 < REACH, "six pictures a direction and the one in hand, and the starts"


def parts_of(clip, borders, before, behind):
    """Yield clip, own pictures and number of the first picture of each part between `borders`, with others around."""
    for begin, end in itertools.pairwise(borders):
        first, last = max(begin - before, 0), min(end + behind, len(clip))
        arrays = {f.name: getattr(clip, f.name) for f in fields(clip)}
        arrays |= {name: value[first:last] for name, value in arrays.items() if isinstance(value, np.ndarray)}
        yield replace(clip, **arrays), slice(begin - first, end - first), first


@pytest.mark.parametrize("given", [None, 6])
def test_parts_come_to_the_same_as_the_whole(make_clip, given):
    status = [OK, D, OK, B, D, D, OK, B, D, OK, OK, B, D, D, OK, D, B, OK]
    clip = make_clip(status, scenes=[0] * 5 + [1] * 4 + [0] * 9)
    whole, first = Script(), None if given is None else first_mask(given)
    expected = list(PublishedTracker(whole).track(clip, first))
    parted = Script()
    tracking, found = PublishedTracker(parted).begin(first), []
    for part, own, before in parts_of(clip, (0, 4, 5, 10, 18), before=3, behind=2):
        told = list(tracking.follow(part, own, before))
        assert len(told) == len(part) - own.start, "those behind are looked at ahead"
        found += told[: own.stop - own.start]
    tracking.finish()
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one.mask, other.mask) and one.confidence == other.confidence
    # The last look at a picture is the one in its own part, with the memories that the whole clip has there.
    assert {call[0]: call for call in parted.of("forth")} == {call[0]: call for call in whole.of("forth")}
    assert len(parted.of("forth")) > len(whole.of("forth"))


def test_parts_may_be_damaged_before_the_start(make_clip):
    clip = make_clip([D, OK, OK, B, D, OK])
    parts = list(parts_of(clip, (0, 3, 6), before=0, behind=0))
    tracking = PublishedTracker(Script()).begin()
    found = [damage for part in parts for damage in tracking.follow(*part)]
    tracking.finish()
    assert [f.mask.any() for f in found] == [False, False, False, True, True, False] and found[0].confidence == 0
    tracking = PublishedTracker(Script()).begin()
    list(tracking.follow(*parts[0]))
    with pytest.raises(InputError, match="--first-mask"):
        tracking.finish()


def test_only_the_backward_direction_needs_the_whole_clip():
    assert not PublishedTracker(Script()).needs_clip and PublishedTracker(Script(), both_directions=True).needs_clip


def test_an_undamaged_clip_is_not_looked_at(make_clip):
    network = Script()
    found = list(PublishedTracker(network).track(make_clip([OK, OK])))
    assert len(found) == 2 and not any(f.mask.any() for f in found) and network.calls == []


def test_without_a_start_and_for_single_pictures_it_says_what_to_do(make_clip):
    with pytest.raises(InputError, match="--first-mask"):
        list(PublishedTracker(Script()).track(make_clip([OK, D, D])))
    with pytest.raises(SpliceError, match="whole clips"):
        PublishedTracker(Script()).detect(None)


def test_the_network_itself_at_a_small_size(make_clip):
    torch.manual_seed(0)
    trunk = dict(embed_dim=24, stages=(1, 1, 2, 1), window_spec=(8, 4, 4, 2), global_att_blocks=(3,))
    network = PublishedDetector(sam=dict(image_size=SIDE, **trunk), neck=dict(blocks=1, depth=1, window=4))
    clip = make_clip([OK, B, D, D])
    clip.mv_past[:, 0, 0], clip.mv_past_valid[:, 0, 0] = (3, 1), True
    tracker = make_tracker(network, both_directions=True)
    assert isinstance(tracker, PublishedTracker)
    found = list(tracker.track(clip))
    assert len(found) == 4 and not found[0].mask.any()
    for damage in found[1:]:
        assert damage.mask.shape == (32, 48) and damage.macroblocks.shape == (2, 3)
        assert np.isfinite(damage.mask).all() and 0 <= damage.confidence <= 1
    clip.mv_past[2, 0, 0] = (-3, 1)
    other = list(tracker.track(clip))
    assert np.array_equal(found[1].mask, other[1].mask) and not np.array_equal(found[2].mask, other[2].mask)
