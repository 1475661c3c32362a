"""Losses of restoration: zero for a perfect picture, normalised by area, and where each term looks."""

import math
from types import SimpleNamespace

import pytest
import torch

from b2scvr.losses.recovery import LEAST_ERROR, charbonnier, log_error, masked_mean, recovery_losses


def output(restored, blend=None):
    return SimpleNamespace(restored=restored, blend=restored if blend is None else blend)


def half_mask(size: int = 8) -> torch.Tensor:
    mask = torch.zeros(1, 1, size, size)
    mask[..., size // 2 :, :] = 1
    return mask


def test_a_perfect_picture_costs_nothing():
    target = torch.rand(2, 3, 8, 8)
    terms = recovery_losses(output(target), target, half_mask().expand(2, 1, 8, 8))
    assert set(terms) == {"hole", "valid", "gradient"}
    assert sum(terms.values()) == 0


def test_the_size_of_the_hole_does_not_count():
    target = torch.zeros(1, 3, 8, 8)
    small = torch.zeros(1, 1, 8, 8)
    small[..., 0, 0] = 1
    costs = [recovery_losses(output(target + 0.5 * m), target, m)["hole"] for m in (small, half_mask())]
    torch.testing.assert_close(*costs)
    assert costs[0] == pytest.approx(0.499, abs=1e-5)


def test_each_term_looks_at_its_own_area():
    target, mask = torch.zeros(1, 3, 8, 8), half_mask()
    inside = recovery_losses(output(0.5 * mask), target, mask)
    assert inside["hole"] > 0.4
    assert inside["valid"] == 0
    assert inside["gradient"] == 0  # a constant error inside the hole has no edges there
    outside = recovery_losses(output(target, blend=target + 0.5 * (1 - mask)), target, mask)
    assert outside["hole"] == 0
    assert outside["valid"] > 0.05


def test_terms_of_weight_zero_are_left_out():
    target = torch.rand(1, 3, 8, 8)
    terms = recovery_losses(output(target), target, half_mask(), valid_weight=0, gradient_weight=0)
    assert set(terms) == {"hole"}


def test_an_empty_mask_gives_zero_and_finite_gradients():
    picture = torch.rand(1, 3, 8, 8, requires_grad=True)
    terms = recovery_losses(output(picture), torch.rand(1, 3, 8, 8), torch.zeros(1, 1, 8, 8))
    assert terms["hole"] == 0
    sum(terms.values()).backward()
    assert torch.isfinite(picture.grad).all()


def test_bricks():
    assert charbonnier(torch.tensor(0.0)) == 0
    assert masked_mean(torch.ones(2, 3, 4, 4), torch.ones(2, 1, 4, 4)) == 1


def test_the_logarithm_counts_decibels_inside_the_mask_of_each_picture():
    target, mask = torch.zeros(2, 3, 8, 8), half_mask().expand(2, 1, 8, 8)
    picture = torch.stack((target[0] + 0.1, target[1] + 0.01)) * mask + 0.9 * (1 - mask)  # 20 and 40 dB; outside 1 dB
    torch.testing.assert_close(-10 * log_error(picture, target, mask), torch.tensor([20.0, 40.0]), atol=0.2, rtol=0)
    terms = recovery_losses(output(picture), target, mask, psnr_weight=0.5)
    assert terms["psnr"] == pytest.approx(-1.5, abs=0.01)
    empty = log_error(picture, target, 0 * mask)
    assert torch.isfinite(empty).all() and empty[0] == pytest.approx(math.log10(LEAST_ERROR))


def test_between_two_truths_the_logarithm_wants_their_mean_the_distance_one_of_them():
    truth, mask = torch.zeros(1, 3, 3, 4), torch.ones(1, 1, 3, 4)
    truth[..., 0, :] = 1  # a third of the pixels
    guesses = torch.linspace(0, 1, 101)
    terms = [recovery_losses(output(torch.full_like(truth, float(g))), truth, mask, psnr_weight=1.0) for g in guesses]
    best = {name: float(guesses[torch.stack([t[name] for t in terms]).argmin()]) for name in ("hole", "psnr")}
    assert best == {"hole": 0.0, "psnr": pytest.approx(1 / 3, abs=0.01)}
