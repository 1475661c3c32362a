"""The detector through a clip: what is looked at, with which references, and how little is held."""

from __future__ import annotations

import gc
import tracemalloc
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from b2scvr.dac.detector import DetectorOutput
from b2scvr.dac.tracker import REMEMBERED, DamageDetector
from b2scvr.types import AccessUnitStatus

OK, B, D, L = AccessUnitStatus.INTACT, AccessUnitStatus.BROKEN, AccessUnitStatus.DEPENDENT, AccessUnitStatus.LOST


class Recorder(nn.Module):
    """Says that a picture is damaged where it differs from its nearest reference; notes what it was shown.

    With num_memories it also makes memories, tensors that know the mean of their picture.
    """

    def __init__(self, num_memories: int = 0) -> None:
        super().__init__()
        self.num_memories = num_memories
        self.windows: list[list[float]] = []
        self.memories: list[list[float]] = []
        self.remembered: list[weakref.ref] = []
        self.most_held = 0

    def remember(self, picture):
        memory = picture.mean()[None]
        self.remembered.append(weakref.ref(memory))
        self.most_held = max(self.most_held, sum(held() is not None for held in self.remembered))
        return memory, memory

    def forward(self, window, current, fill, evidence, concealed, slice_start, broken, memories=None):
        self.windows.append([round(float(p.mean()), 4) for i, p in enumerate(window[0]) if i != current])
        self.memories.append([round(float(m), 4) for m, _ in memories or ()])
        differs = (window[0, current] - window[0, current - 1]).abs().mean() > 1e-3
        logit = 5.0 if differs else -5.0
        mask, grid = torch.full((1, 1, 8, 12), logit), torch.full((1, 2, 3), float(differs))
        return DetectorOutput(mask, grid, grid, torch.tensor(1.0), torch.tensor([0.75]))


def tracked(clip, network=None, first_mask=None, **options):
    return list(DamageDetector(network or Recorder(), **options).track(clip, first_mask))


def means(clip):
    return [round(float(p.astype(np.float32).mean() / 255), 4) for p in clip.frames]


def test_only_pictures_that_were_touched_are_looked_at(make_clip):
    clip, network = make_clip([OK, OK, B, D, OK, L, OK]), Recorder()
    found = tracked(clip, network)
    assert len(found) == 7 and len(network.windows) == 3
    for slot in (0, 1, 4, 6):
        assert not found[slot].mask.any() and not found[slot].macroblocks.any() and found[slot].confidence == 1
    assert found[2].mask.shape == (32, 48) and found[2].confidence == 0.75


def test_references_are_of_the_same_scene_and_not_damaged(make_clip):
    scenes = [0, 0, 1, 1, 1, 1, 2, 2]
    clip, network = make_clip([OK, OK, OK, B, D, OK, OK, OK], scenes), Recorder()
    tracked(clip, network)
    own = means(clip)[2]
    assert network.windows == [[own] * 3, [own] * 3]


def test_a_clip_that_begins_damaged_uses_what_comes_later(make_clip):
    clip, network = make_clip([B, D, OK, OK]), Recorder()
    tracked(clip, network)
    assert network.windows[0] == [means(clip)[2]] * 3


@pytest.mark.parametrize("status", [[B], [L, L, B], [B, B]])
def test_a_clip_without_any_reference_works(make_clip, status):
    assert len(tracked(make_clip(status))) == len(status)


def test_every_picture_is_looked_at_once_damage_is_reported(make_clip):
    """Another codec: picture 4 differs from its scene and nobody reported it."""
    clip = make_clip([OK, B, OK, OK, OK, OK], codec="hevc")
    clip.frames[4] = 255 - clip.frames[4]
    silent, looking = Recorder(), Recorder()
    assert not tracked(clip, silent)[4].mask.any() and len(silent.windows) == 1
    found = tracked(clip, looking, every_picture=True)
    assert (found[4].mask > 0.5).all() and len(looking.windows) == 6
    assert not found[3].mask.any() and found[3].confidence == 0.75
    assert looking.windows[5] == [means(clip)[3]] * 3, "what was found damaged is no reference"


def test_a_codec_that_vouches_is_believed_and_so_is_a_clip_without_reports(make_clip):
    for clip in (make_clip([OK, B, OK]), make_clip([OK, OK, OK], codec="hevc")):
        network = Recorder()
        tracked(clip, network, every_picture=True)
        assert len(network.windows) == int((clip.status != OK).sum())


def test_a_first_mask_is_taken_and_nothing_before_it_is_damaged(make_clip):
    clip, network = make_clip([OK, D, B, D, OK]), Recorder()
    mask = np.zeros((32, 48), np.uint8)
    mask[20:, :10] = 1
    found = tracked(clip, network, (2, mask))
    assert not found[1].mask.any()
    assert np.array_equal(found[2].mask, mask) and found[2].macroblocks.tolist() == [[0, 0, 0], [1, 0, 0]]
    assert len(network.windows) == 1, "picture 3 alone is looked at"


def test_memories_are_of_the_nearest_references_and_made_once(make_clip):
    clip, network = make_clip([OK, OK, B, D, D, OK], [0] * 6), Recorder(num_memories=2)
    for slot in range(6):
        clip.frames[slot] = np.clip(clip.frames[slot].astype(int) + slot, 0, 255)
    tracked(clip, network)
    mean = means(clip)
    assert network.memories == [[mean[1], mean[5]], [mean[1], mean[5]], [mean[1], mean[5]]]
    assert len(network.remembered) == 2


def held(make_clip, pictures):
    """What tracking a clip of so many pictures takes at most: bytes of arrays, its own apart, and memories."""
    clip = make_clip([B if slot % 32 == 8 else OK for slot in range(pictures)])
    network = Recorder(num_memories=1)
    gc.collect()
    tracemalloc.start()
    try:
        for _ in DamageDetector(network).track(clip):
            pass
        return tracemalloc.get_traced_memory()[1], network.most_held
    finally:
        tracemalloc.stop()


def test_what_is_held_does_not_grow_with_the_clip(make_clip):
    held(make_clip, 32)  # what is loaded on the first call
    (short, _), (long, memories) = held(make_clip, 50), held(make_clip, 2000)
    assert long - short < 2000 * 128, (short, long)  # a few numbers a picture; a picture alone has 4608 bytes
    assert memories <= REMEMBERED + 1
