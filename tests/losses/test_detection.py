"""Detection losses: known values, empty masks, weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch

from b2scvr.losses.detection import detection_losses, dice_loss, focal_loss, mask_iou


@dataclass
class Output:
    mask_logits: torch.Tensor
    macroblock_logits: torch.Tensor
    temperature: torch.Tensor
    iou_prediction: torch.Tensor


def _case(batch: int = 2):
    torch.manual_seed(0)
    output = Output(
        torch.zeros(batch, 1, 8, 12, requires_grad=True),
        torch.zeros(batch, 2, 3, requires_grad=True),
        torch.tensor(2.0, requires_grad=True),
        torch.full((batch,), 0.25, requires_grad=True),
    )
    none = torch.zeros(batch, 2, 3, dtype=torch.bool)
    truth = {
        "target_mask": torch.zeros(batch, 1, 30, 45),
        "wrong": none,
        "concealed": none,
        "slice_start": none,
        "broken": torch.ones(batch, dtype=torch.bool),
    }
    return output, truth


def test_focal_by_hand():
    """p = 1/2 everywhere: alpha_t / 4 * ln 2; a sure right answer costs nothing, a sure wrong one its logit."""
    logits = torch.zeros(1, 1, 1, 2)
    target = torch.tensor([[[[0.0, 1.0]]]])
    assert focal_loss(logits, target).item() == pytest.approx((0.75 + 0.25) / 2 / 4 * math.log(2), abs=1e-6)
    sure = torch.tensor([[[[-40.0, 40.0]]]])
    assert focal_loss(sure, target).item() == pytest.approx(0, abs=1e-6)
    assert focal_loss(-sure, target).item() == pytest.approx((0.75 + 0.25) / 2 * 40, rel=1e-4)


def test_dice_and_iou_by_hand():
    target = torch.tensor([1.0, 1.0, 0.0, 0.0]).reshape(1, 1, 2, 2)
    half = torch.tensor([40.0, -40.0, 40.0, -40.0]).reshape(1, 1, 2, 2)
    assert dice_loss(half, target).item() == pytest.approx(1 - (2 + 1) / (2 + 2 + 1), abs=1e-6)
    assert mask_iou(half, target).item() == pytest.approx(1 / 3)


def test_nothing_damaged_and_nothing_found_costs_nothing():
    empty = torch.zeros(2, 1, 4, 4)
    logits = torch.full((2, 1, 4, 4), -40.0)
    assert dice_loss(logits, empty).item() == pytest.approx(0, abs=1e-6)
    assert mask_iou(logits, empty).tolist() == [1, 1]


def test_terms_of_a_network_that_knows_nothing():
    """Six macroblocks, one slice, all logits zero: seven change points alike; entropy of a coin at each macroblock."""
    output, truth = _case()
    terms = detection_losses(output, **truth, focal_weight=1, change_point_weight=1)
    assert terms["change_point"].item() == pytest.approx(math.log(7), abs=1e-5)
    assert terms["macroblock"].item() == pytest.approx(math.log(2), abs=1e-6)
    assert terms["focal"].item() == pytest.approx(0.75 / 4 * math.log(2), abs=1e-6)
    assert terms["iou"].item() == pytest.approx(0.75, abs=1e-6)


def test_gradients_reach_every_output():
    output, truth = _case()
    truth["target_mask"][:, :, 16:] = 1
    truth["wrong"] = torch.tensor([[False, False, False], [True, True, True]]).expand(2, 2, 3)
    sum(detection_losses(output, **truth).values()).backward()
    for tensor in vars(output).values():
        assert tensor.grad is not None and torch.isfinite(tensor.grad).all()
    assert output.macroblock_logits.grad.abs().sum() > 0 and output.mask_logits.grad.abs().sum() > 0


def test_terms_of_weight_zero_are_left_out():
    output, truth = _case()
    terms = detection_losses(output, **truth, focal_weight=0, iou_weight=0, macroblock_weight=0)
    assert set(terms) == {"dice", "change_point"}


def test_a_concealed_macroblock_counts_as_wrong():
    output, truth = _case(1)
    output.macroblock_logits = torch.full((1, 2, 3), -40.0)
    output.macroblock_logits[0, 1, 2] = 40.0
    truth["concealed"] = torch.tensor([[[False, False, False], [False, False, True]]])
    terms = detection_losses(output, **truth)
    assert terms["macroblock"].item() == pytest.approx(0, abs=1e-6)
    assert terms["change_point"].item() == pytest.approx(0, abs=1e-6)
