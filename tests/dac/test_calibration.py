"""Calibration: what it does to numbers, and how it is kept beside the weights."""

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from b2scvr.checkpoints.load import read_metadata, save_weights
from b2scvr.dac.calibration import METADATA_KEY, Calibration
from b2scvr.dac.detector import DetectorOutput
from b2scvr.dac.tracker import DamageDetector
from b2scvr.ops.change_point import wrong_probability

FITTED = Calibration(1.0, 2.0, 0.5, 0.1, 0.8)


class Fixed(nn.Module):
    told_of_concealment = True

    def forward(self, window, current, fill, evidence, concealed, slice_start, broken):
        logits = torch.tensor([[-1.0, -1, -1], [2, 1, 3]])[None]
        probability = wrong_probability(logits, slice_start, concealed, broken, 2.0)
        return DetectorOutput(
            torch.full((1, 1, 8, 12), 3.0), logits, probability, torch.tensor(2.0), torch.tensor([0.5])
        )


def test_known_answers():
    assert Calibration().mask(torch.tensor(1.5)) == torch.tensor(1.5).sigmoid()
    assert FITTED.mask(torch.tensor([1.0, 5.0])).tolist() == pytest.approx([0.5, 1 / (1 + np.exp(-2))])
    assert FITTED.confidence(0.5) == pytest.approx(0.5) and FITTED.confidence(2.0) == 1
    assert Calibration().confidence(0.3) == 0.3 and Calibration().confidence(-0.1) == 0


def test_it_is_kept_in_the_header_of_weights_which_stay_as_they_are(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_weights(path, {"dac": {"a": torch.arange(3.0)}}, {"dac_steps": "7"})
    assert Calibration.from_metadata(read_metadata(path)) == Calibration()
    save_weights(path, {}, FITTED.to_metadata())
    assert Calibration.from_metadata(read_metadata(path)) == FITTED
    assert read_metadata(path)["dac_steps"] == "7"


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"mask_threshold": 1}', "null"])
def test_a_header_that_makes_no_sense_is_told(tmp_path, text):
    path = tmp_path / "weights.safetensors"
    save_file({"dac.a": torch.zeros(1)}, path, {METADATA_KEY: text})
    with pytest.raises(ValueError, match="calibration can't be read"):
        Calibration.from_metadata(read_metadata(path))


def test_values_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="mask_temperature must be above 0"):
        Calibration(mask_temperature=0)
    with pytest.raises(ValueError, match="mask_threshold must be finite"):
        Calibration(mask_threshold=float("nan"))


def test_the_detector_applies_it(make_clip):
    clip = make_clip([0, 1, 0])
    clip.concealed[:] = False
    clip.concealed[1, 1, 2] = True
    plain, fitted = (next(d for d in _tracked(clip, c) if d.mask.any()) for c in (None, FITTED))
    assert plain.mask[0, 0] == pytest.approx(1 / (1 + np.exp(-3))) and plain.confidence == 0.5
    assert fitted.mask[0, 0] == pytest.approx(1 / (1 + np.exp(-1))) and fitted.confidence == pytest.approx(0.5)
    assert fitted.macroblocks[1, 2] == 1 and fitted.macroblocks[1, 0] > plain.macroblocks[1, 0]


def test_a_change_point_left_alone_is_the_network_s_own(make_clip):
    clip = make_clip([0, 1, 0])
    (own, same) = (
        next(d for d in _tracked(clip, c) if d.mask.any())
        for c in (None, dataclasses.replace(FITTED, change_point_temperature=1.0))
    )
    assert np.array_equal(own.macroblocks, same.macroblocks)


def _tracked(clip, calibration):
    return DamageDetector(Fixed(), calibration=calibration).track(clip)


def test_of_weights_of_any_kind(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_weights(path, {"dac": {"a": torch.zeros(1)}}, FITTED.to_metadata())
    assert Calibration.of_weights(path) == FITTED
    assert Calibration.of_weights(None) == Calibration.of_weights(tmp_path / "weights.pt") == Calibration()
