"""Calibration on samples: a network that is known to be wrong is set right."""

import numpy as np
import pytest
import torch
from torch import nn

from b2scvr.dac.calibration import Calibration
from b2scvr.dac.detector import DetectorOutput
from b2scvr.data.dataset import PairDataset, View
from b2scvr.engine.calibrate import Seen, calibrate, fit_confidence, quality
from b2scvr.metrics.log_odds import LogOddsCounts


class Biased(nn.Module):
    """Gives every pixel a logit above 0: `low` where nothing is wrong, `high` in the lower half, where it is."""

    told_of_concealment = True

    def __init__(self, low=1.0, high=5.0):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(()))
        self.low, self.high = low, high

    def forward(self, window, current, fill, evidence, concealed, slice_start, broken):
        mask = torch.full((1, 1, 24, 24), self.low)
        mask[:, :, 12:] = self.high
        logits = torch.full((1, 6, 6), -8.0)
        logits[:, 3:] = 8.0
        return DetectorOutput(mask, logits, logits.sigmoid(), torch.tensor(100.0), torch.tensor([0.1]))


@pytest.fixture
def data(cache):
    return PairDataset(cache, View(broken_only=False))


def test_threshold_temperatures_and_confidence_are_set_right(data):
    found, before, after = calibrate(Biased(), data)
    assert before.iou == pytest.approx(0.5) and after.iou > 0.95
    assert 1.0 <= found.mask_threshold < 5.0
    assert found.mask_temperature < 1, "it is right nearly everywhere and may be surer"
    assert found.change_point_temperature < 1 and after.change_point_nll < before.change_point_nll
    assert found.confidence(0.1) == pytest.approx(after.iou) and after.confidence_error < 1e-6
    assert after.pixel_nll < before.pixel_nll


def test_what_is_right_already_is_hardly_changed(data):
    found, before, after = calibrate(Biased(-4.0, 4.0), data, samples=2)
    assert after.iou >= before.iou > 0.95 and -4 <= found.mask_threshold < 4


def test_progress_counts_samples(data):
    told = []
    calibrate(Biased(), data, 3, lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_quality_counts_what_lies_above_the_threshold():
    pixels = LogOddsCounts.of(np.array([-2.0, -1.0, 1.0, 2.0]), np.array([0, 1, 0, 1]))
    one = Seen(pixels, 0.5, None, 1.0)
    assert quality([one], Calibration()).iou == pytest.approx(1 / 3)
    assert quality([one], Calibration(mask_threshold=1.5)).iou == pytest.approx(1 / 2)


def test_a_network_that_knows_of_no_slices_keeps_its_change_point(data):
    network = Biased()
    network.told_of_concealment = False
    assert calibrate(network, data, 2)[0].change_point_temperature == 1


def test_samples_without_damage_are_refused(data):
    class Undamaged(PairDataset):
        def batch_of_one(self, entry):
            batch = super().batch_of_one(entry)
            return batch | {"visible": torch.zeros_like(batch["visible"])}

    with pytest.raises(ValueError, match="no validation sample shows visible damage"):
        calibrate(Biased(), Undamaged(data.cache, View(broken_only=False)), 1)


def test_an_iou_prediction_that_is_always_the_same_is_not_used():
    """Rounding alone tells the pictures apart; a line through that would be all but upright."""
    predicted = np.array([0.1344, 0.1344 + 1e-6, 0.1344 + 2e-6])
    assert fit_confidence(predicted, np.array([0.1, 0.2, 0.3])) == pytest.approx((0.2, 0.0))
    assert fit_confidence(np.array([0.1, 0.2, 0.3]), np.array([0.3, 0.4, 0.5])) == pytest.approx((0.2, 1.0))
