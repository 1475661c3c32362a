"""Scene cuts and GOP borders in real streams: what is remembered across them, and what is not."""

import numpy as np
import pytest
import torch
from torch import nn

from b2scvr.bitstream.damage import CutModel, damage
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.nal import scan
from b2scvr.bitstream.reader import decode
from b2scvr.config import load_config
from b2scvr.dac import DamageDetector
from b2scvr.dac.detector import DetectorOutput
from b2scvr.fill import surroundings
from b2scvr.registry import MODELS
from b2scvr.types import AccessUnitStatus

GOP = 8
OK, B = AccessUnitStatus.INTACT, AccessUnitStatus.BROKEN


@pytest.fixture(scope="module")
def detector(request):
    config = load_config(request.config.rootpath / "configs" / "dac" / "ablation" / "all.py")
    torch.manual_seed(0)
    return DamageDetector(MODELS.build(config.dac))


class Shown(nn.Module):
    """Notes which pictures of `clip` it was shown beside the damaged one, and remembers each by its number."""

    num_memories = 1

    def __init__(self, clip):
        super().__init__()
        self.frames = torch.from_numpy(clip.frames).permute(0, 3, 1, 2) / 255
        self.beside, self.made, self.read = [], [], []

    def slot(self, picture):
        """Its number; in a broken picture the detector sees what the decoder had read before it concealed it."""
        return int((self.frames - picture).abs().mean((1, 2, 3)).argmin())

    def remember(self, picture):
        self.made.append(self.slot(picture[0]))
        return (torch.tensor(self.made[-1]),) * 2

    def forward(self, window, current, fill, evidence, concealed, slice_start, broken, memories=None):
        beside = {self.slot(picture) for position, picture in enumerate(window[0]) if position != current}
        self.beside.append((self.slot(window[0, current]), beside))
        self.read += [int(memory) for memory, _ in memories or ()]
        grid = torch.zeros(concealed.shape)
        mask = torch.zeros(1, 1, 4 * grid.shape[1], 4 * grid.shape[2])
        return DetectorOutput(mask, grid, grid, torch.tensor(1.0), torch.tensor([0.5]))


def scene(seed, pictures=GOP, height=160, width=224):
    """A smooth texture of its own for each seed that moves by two pixels a picture, uint8 [T, H, W, 3]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0 : width + 2 * pictures].astype(np.float32)
    waves = [(rng.uniform(0.03, 0.15, 2), rng.uniform(0, 6.28), rng.uniform(20, 60, 3)) for _ in range(5)]
    wide = 128 + sum(a * np.sin(f[0] * y + f[1] * x + p)[..., None] for f, p, a in waves)
    wide = np.clip(wide + rng.normal(0, 6, (height, width + 2 * pictures, 1)), 0, 255).astype(np.uint8)
    return np.stack([wide[:, 2 * t : 2 * t + width] for t in range(pictures)])


def coded(pictures, cut=None):
    """The pictures, which are of one scene, as a stream of one GOP. cut: the slice of which bits are missing, by a seed."""
    stream = encode_h264(pictures, gop=GOP, options={"x264-params": "scenecut=0"})
    return stream if cut is None else damage(stream, CutModel(gop=GOP, position=0.6, length=400, seed=cut))[0]


IDR, REFERENCE = 2, 1  # seeds that cut the first picture, and one that others predict from


def test_what_one_scene_showed_says_nothing_in_the_next(detector):
    """Two scenes, each with its damage, between them an IDR picture: each is judged as if it were alone."""
    first, second = coded(scene(0), REFERENCE), coded(scene(1), REFERENCE)
    clip = decode(first + second).clip
    assert np.flatnonzero(clip.is_key).tolist() == [0, GOP] and (clip.status[[2, GOP + 2]] == B).all()
    together = list(detector.track(clip))
    alone = [*detector.track(decode(first).clip), *detector.track(decode(second).clip)]
    assert sum(one.mask.max() > 0 for one in alone) == (clip.status != OK).sum() > 2
    for one, other in zip(together, alone, strict=True):
        assert np.array_equal(one.mask, other.mask) and np.array_equal(one.macroblocks, other.macroblocks)
        assert one.confidence == other.confidence


def test_a_scene_goes_on_over_a_gop_border():
    """The second GOP is damaged from its IDR picture on: its references are of the first and of the third, each made once."""
    pictures = scene(0, 3 * GOP)
    clip = decode(coded(pictures[:GOP]) + coded(pictures[GOP:-GOP], IDR) + coded(pictures[-GOP:])).clip
    assert clip.is_key[[0, GOP, 2 * GOP]].all() and (clip.status[GOP:-GOP] != OK).all()
    shown = Shown(clip)
    list(DamageDetector(shown).track(clip))
    assert shown.beside == [(slot, {GOP - 2, GOP - 1, 2 * GOP}) for slot in range(GOP, 2 * GOP)]
    assert shown.made == [GOP - 1] and set(shown.read) == {GOP - 1}


@pytest.mark.parametrize("more", [0, 1])
def test_a_scene_that_begins_broken_takes_no_reference_from_the_one_before(more):
    """A cut, and the IDR picture behind it lost bits: `more` GOPs follow before the clip ends."""
    pictures = scene(1, 2 * GOP)
    clip = decode(coded(scene(0)) + coded(pictures[:GOP], IDR) + coded(pictures[GOP:]) * more).clip
    assert (clip.status[GOP : 2 * GOP] != OK).all()
    shown = Shown(clip)
    list(DamageDetector(shown).track(clip))
    assert [slot for slot, _ in shown.beside] == list(range(GOP, 2 * GOP))
    assert all(min(beside, default=GOP) >= GOP for _, beside in shown.beside)


def without_first_picture(stream):
    """The stream in which 12 bytes of the IDR picture's slice arrived: all of it is concealed."""
    idr = next(unit for unit in scan(stream) if unit.is_slice)
    return stream[: idr.payload + 12] + stream[idr.end :]


@pytest.mark.parametrize("more", [0, 1])
def test_a_scene_of_whose_first_picture_nothing_arrived_begins_there(more):
    """It shows nothing, nor does what predicts from it; that it is an IDR picture tells where the cut is."""
    pictures = scene(1, 2 * GOP)
    clip = decode(coded(scene(0)) + without_first_picture(coded(pictures[:GOP])) + coded(pictures[GOP:]) * more).clip
    assert clip.is_key[GOP] and clip.concealed[GOP].all() and (clip.status[GOP : 2 * GOP] != OK).all()
    shown = Shown(clip)
    list(DamageDetector(shown).track(clip))
    assert [slot for slot, _ in shown.beside] == list(range(GOP, 2 * GOP))
    for slot, beside in shown.beside:
        assert not more or min(beside) >= GOP, (slot, beside)
    if more:
        around = surroundings(clip, GOP)
        assert (around.distance >= 0).all(), around.distance
        assert (
            np.abs(around.fill.astype(int) - pictures[0]).mean()
            < np.abs(around.decoded.astype(int) - pictures[0]).mean()
        )


def test_what_surrounds_a_picture_is_of_its_scene():
    """Of the two intact pictures before it, one is beyond a cut."""
    clip = decode(coded(scene(0)) + coded(scene(1), REFERENCE)).clip
    broken = int(np.flatnonzero(clip.status == B)[0])
    assert np.flatnonzero(clip.status[:broken] == OK)[-2:].tolist() == [GOP - 1, GOP]
    assert {broken + int(distance) for distance in surroundings(clip, broken).distance} == {GOP, broken, GOP + 4}
