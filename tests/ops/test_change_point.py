"""The raster prior against answers worked by hand and by enumeration."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from b2scvr.ops.change_point import RasterSlices, change_point_nll, change_point_posterior, wrong_probability

BROKEN = torch.tensor([True])


def _maps(starts: list[int], concealed: list[int], shape: tuple[int, int] = (1, 3)):
    start, known = (
        torch.zeros(shape[0] * shape[1], dtype=torch.bool),
        torch.zeros(shape[0] * shape[1], dtype=torch.bool),
    )
    start[starts], known[concealed] = True, True
    return start.reshape(1, *shape), known.reshape(1, *shape)


def _enumerate(logits, starts, concealed, temperature):
    """Sum over all change points of every slice, with Python floats."""
    length = len(logits)
    out = [0.0] * length
    bounds = [*sorted({0, *starts}), length]
    for first, end in pairwise(bounds):
        known = [i for i in range(first, end) if i in concealed]
        if concealed and not known:
            continue  # right: something was noticed, but not here
        allowed = list(range(first, min([*known, end - 1]) + 1))
        weight = {k: math.exp(sum(logits[k:end]) / temperature) for k in allowed}
        total = sum(weight.values()) + (0.0 if known else 1.0)
        for i in range(first, end):
            out[i] = sum(w for k, w in weight.items() if k <= i) / total
    return out


def test_three_macroblocks_by_hand():
    """z = ln 2, 0, ln 3: scores ln 6, ln 3, ln 3, 0, so the weights are 6, 3, 3 and 1 of 13."""
    logits = torch.tensor([[[math.log(2), 0.0, math.log(3)]]])
    start, concealed = _maps([0], [])
    probability = wrong_probability(logits, start, concealed, BROKEN, 1.0)
    assert probability.flatten().tolist() == pytest.approx([6 / 13, 9 / 13, 12 / 13], abs=1e-6)
    posterior = change_point_posterior(logits, RasterSlices.from_maps(start, concealed), 1.0)
    assert posterior.log_none.exp().item() == pytest.approx(1 / 13, abs=1e-6)


def test_concealed_bounds_the_change_point():
    """The second macroblock is concealed: k is 0 or 1, weights 6 and 3 of 9."""
    logits = torch.tensor([[[math.log(2), 0.0, math.log(3)]]])
    start, concealed = _maps([0], [1])
    probability = wrong_probability(logits, start, concealed, BROKEN, 1.0)
    assert probability.flatten().tolist() == pytest.approx([6 / 9, 1.0, 1.0], abs=1e-6)


def test_slices_in_which_nothing_was_noticed_are_right_beside_one_in_which_something_was():
    logits = torch.full((1, 1, 6), 3.0)
    start, concealed = _maps([0, 2, 4], [3], (1, 6))
    probability = wrong_probability(logits, start, concealed, BROKEN, 1.0)
    whole = math.exp(6) / (math.exp(6) + math.exp(3))
    assert probability.flatten().tolist() == pytest.approx([0, 0, whole, 1, 0, 0], abs=1e-6)
    start, concealed = _maps([0, 2, 4], [], (1, 6))  # nothing was noticed anywhere, and yet it is broken
    assert wrong_probability(logits, start, concealed, BROKEN, 1.0).min() > 0.9
    start, concealed = (
        torch.cat(maps) for maps in zip(_maps([0, 3], [4], (1, 6)), _maps([0, 3], [], (1, 6)), strict=True)
    )
    both = wrong_probability(logits.repeat(2, 1, 1), start, concealed, BROKEN.repeat(2), 1.0)
    assert not both[0, 0, :3].any() and both[1].min() > 0.9


def test_two_slices_are_independent():
    logits = torch.tensor([[[5.0, math.log(2), -4.0, math.log(4)]]])
    start, concealed = _maps([0, 3], [], (1, 4))
    probability = wrong_probability(logits, start, concealed, BROKEN, 1.0)
    assert probability[0, 0, 3].item() == pytest.approx(4 / 5, abs=1e-6)
    other = wrong_probability(logits * torch.tensor([1, 1, 1, -3.0]), start, concealed, BROKEN, 1.0)
    assert torch.allclose(other[..., :3], probability[..., :3])


@pytest.mark.parametrize("temperature", [1.0, 7.0])
@pytest.mark.parametrize(("starts", "concealed"), [([], []), ([0, 7], [10, 11]), ([4, 5], [2]), ([3], [3, 11])])
def test_against_enumeration(starts, concealed, temperature):
    logits = torch.randn(12, generator=torch.Generator().manual_seed(3))
    maps = _maps(starts, concealed, (3, 4))
    probability = wrong_probability(logits.reshape(1, 3, 4), *maps, BROKEN, temperature)
    expected = _enumerate(logits.tolist(), starts, concealed, temperature)
    assert probability.flatten().tolist() == pytest.approx(expected, abs=1e-5)


def test_without_broken_the_order_says_nothing():
    logits = torch.randn(2, 2, 3)
    none = torch.zeros(2, 2, 3, dtype=torch.bool)
    probability = wrong_probability(logits, none, none, torch.tensor([False, True]), 1.0)
    assert torch.allclose(probability[0], logits[0].sigmoid())
    assert bool((probability[1].flatten().diff() >= -1e-6).all()), "a suffix grows in raster order"


def test_nll_by_hand():
    """Weights 6, 3, 3, 1 of 13 as above: change at the first, at the last, nowhere."""
    logits = torch.tensor([[[math.log(2), 0.0, math.log(3)]]])
    start, concealed = _maps([0], [])
    for wrong, weight in (([1, 1, 1], 6), ([0, 0, 1], 3), ([0, 1, 0], 3), ([0, 0, 0], 1)):
        truth = torch.tensor([[wrong]], dtype=torch.bool)
        nll = change_point_nll(logits, truth, start, concealed, BROKEN, 1.0)
        assert nll.item() == pytest.approx(-math.log(weight / 13), abs=1e-6)
        assert change_point_nll(logits, truth, start, concealed, ~BROKEN, 1.0).item() == 0


def test_nll_is_a_mean_over_slices_and_knows_concealment():
    """Slice 1: k = 1 of weights 2, 1, 1; slice 2: concealment hit the truth by chance, k is its first macroblock."""
    logits = torch.tensor([[[math.log(2), 0.0, 1.0, 2.0]]])
    start, concealed = _maps([0, 2], [2, 3], (1, 4))
    wrong = torch.tensor([[[False, True, False, False]]])
    nll = change_point_nll(logits, wrong, start, concealed, BROKEN, 1.0)
    assert nll.item() == pytest.approx(-math.log(1 / 4) / 2, abs=1e-6)


@pytest.mark.parametrize("size", [1.0, 1e4])
def test_large_logits_keep_gradients_finite(size):
    logits = (torch.randn(2, 30, 40, generator=torch.Generator().manual_seed(1)) * size).requires_grad_()
    start, concealed = torch.zeros(2, 30, 40, dtype=torch.bool), torch.zeros(2, 30, 40, dtype=torch.bool)
    start[:, ::10, 0], concealed[0, 17:20] = True, True
    wrong = torch.rand(2, 30, 40) > 0.5
    both = torch.tensor([True, True])
    temperature = torch.tensor(4.0, requires_grad=True)
    probability = wrong_probability(logits, start, concealed, both, temperature)
    assert bool(((probability >= 0) & (probability <= 1)).all())
    nll = change_point_nll(logits, wrong, start, concealed, both, temperature)
    (probability.sum() + nll).backward()
    assert torch.isfinite(nll) and torch.isfinite(logits.grad).all() and torch.isfinite(temperature.grad)


def test_a_sharper_cut_is_found():
    logits = torch.full((1, 6, 8), -1.0)
    logits.view(-1)[19:] = 1.0
    none = torch.zeros(1, 6, 8, dtype=torch.bool)
    probability = wrong_probability(logits, none, none, BROKEN, 1.0).flatten()
    assert probability[17] < 0.2 and probability[19] > 0.6 and probability[24] > 0.99
    softer = wrong_probability(logits, none, none, BROKEN, 10.0).flatten()
    assert probability[17] < softer[17] < softer[24] < probability[24]
