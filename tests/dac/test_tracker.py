"""The detector on one picture: arrays in, arrays out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from b2scvr.config import load_config
from b2scvr.dac.detector import DetectorOutput
from b2scvr.dac.tracker import DamageDetector
from b2scvr.ops.batch import mask_at_pixels
from b2scvr.ops.evidence import CHANNELS
from b2scvr.registry import MODELS
from b2scvr.types import CANDIDATES, Surroundings


class Probe(nn.Module):
    """Checks what it is given, and answers 1/4 for macroblocks and 1/2 + 1/4 for pixels."""

    def forward(self, window, current, fill, evidence, concealed, slice_start, broken):
        assert window.shape == (1, 4, 3, 30, 45) and current == 2
        assert fill.shape == (1, 3, 30, 45) and fill.max() == 1 and window.max() == 0
        assert evidence.shape == (1, len(CHANNELS), 2, 3) and evidence.dtype == torch.float32
        assert concealed.dtype == slice_start.dtype == broken.dtype == torch.bool
        assert broken.tolist() == [True]
        logits = torch.full((1, 1, 8, 12), float(np.log(3)))
        quarter = torch.full((1, 2, 3), 0.25)
        return DetectorOutput(logits, quarter, quarter, torch.tensor(1.0), torch.tensor([0.5]))


@pytest.fixture
def surroundings() -> Surroundings:
    concealed = np.zeros((2, 3), bool)
    concealed[1, 2] = True
    candidates = np.zeros((len(CANDIDATES), 30, 45, 3), np.uint8)
    candidates[-1] = 255
    return Surroundings(
        index=5,
        window=np.zeros((4, 30, 45, 3), np.uint8),
        current=2,
        distance=np.array([-2, -1, 0, 1], np.float32),
        motion=np.zeros((4, 30, 45, 2), np.float32),
        candidates=candidates,
        candidate_valid=np.ones((len(CANDIDATES), 30, 45), np.float32),
        evidence=np.zeros((len(CHANNELS), 2, 3), np.float16),
        damage_trace=np.zeros((2, 3), np.float32),
        concealed=concealed,
        slice_start=np.zeros((2, 3), bool),
        broken=True,
    )


def test_known_answer(surroundings):
    damage = DamageDetector(Probe()).detect(surroundings)
    assert damage.macroblocks.dtype == damage.mask.dtype == np.float32
    assert damage.macroblocks.tolist() == [[0.25, 0.25, 0.25], [0.25, 0.25, 0.25]]
    assert damage.mask.shape == (30, 45) and np.allclose(damage.mask, 0.75)
    assert damage.confidence == 0.5


def test_the_mask_is_cropped_and_not_stretched():
    """A step in the padded quarter-resolution mask stays at the same pixel, whatever the picture's size."""
    logits = torch.zeros(1, 1, 8, 12)
    logits[..., 6:] = 1
    full = mask_at_pixels(logits, (30, 45))
    assert full.shape == (1, 1, 30, 45)
    assert full[0, 0, 0, 23] < 0.5 < full[0, 0, 0, 24]


def test_pictures_with_the_same_references_encode_them_once_and_the_answer_stays(surroundings, request):
    """References are told by what they show; beside one call on all pictures of the window, only rounding differs."""
    torch.manual_seed(0)
    network = MODELS.build(load_config(request.config.rootpath / "configs" / "dac" / "ablation" / "all.py").dac).eval()
    window = np.random.default_rng(0).integers(0, 256, (5, 30, 45, 3), np.uint8)
    first = dataclasses.replace(surroundings, window=window[[0, 1, 2, 3]])
    second = dataclasses.replace(surroundings, index=9, window=window[[0, 1, 4, 3]])
    encoded = []
    handle = network.sam.image_encoder.register_forward_hook(lambda _, given, __: encoded.append(len(given[0])))
    detector = DamageDetector(network)
    found = [detector.detect(one) for one in (first, second)]
    assert encoded == [1] * (network.num_memories + 2)
    detector._remembered = lambda *_: {}
    for one, kept in zip((first, second), found, strict=True):
        again = detector.detect(one)
        assert np.allclose(kept.mask, again.mask, atol=1e-5)
        assert np.allclose(kept.macroblocks, again.macroblocks, atol=1e-5)
        assert abs(kept.confidence - again.confidence) < 1e-5
    handle.remove()
    assert encoded[-2:] == [1 + network.num_memories] * 2, "one call on the picture and its references"
