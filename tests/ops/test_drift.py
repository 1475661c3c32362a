"""Corrections carried along vectors: cases whose answer is known."""

import pytest
import torch

from b2scvr.ops.drift import (
    NO_CANDIDATE,
    UNUSED,
    Prediction,
    average,
    carry,
    choose_references,
    choose_weights,
)
from b2scvr.ops.motion_compensation import half_samples

GRID = (3, 4)
SIZE = (24, 32)


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def prediction(past=(0.0, 0.0), future=(0.0, 0.0), use=(True, False), reference=(0, 0), batch=1):
    """Every block predicted alike."""
    vectors = torch.tensor([past, future], dtype=torch.float64).view(1, 2, 2, 1, 1).expand(batch, 2, 2, *GRID)
    lists = torch.tensor(reference).view(1, 2, 1, 1).expand(batch, 2, *GRID)
    used = torch.tensor(use).view(1, 2, 1, 1).expand(batch, 2, *GRID)
    return Prediction(vectors, lists, average(used).double())


def test_where_nothing_was_wrong_nothing_changes():
    zero = torch.zeros((2, 3, *SIZE), dtype=torch.float64)
    assert not carry(zero, prediction((1.25, 0.5), (2.0, 0.0), (True, True), (0, 1))).any()


def test_a_translation_carries_the_correction_exactly():
    correction = noise(1, 3, *SIZE)
    found = carry(correction, prediction(past=(4.0, -3.0)))
    assert torch.equal(found[..., 3:, :-4], correction[..., :-3, 4:])


def test_bi_predicted_blocks_take_the_mean():
    corrections = noise(2, 3, *SIZE)
    found = carry(corrections, prediction(use=(True, True), reference=(0, 1)))
    assert torch.allclose(found[0], corrections.mean(dim=0))


def test_intra_blocks_stay():
    guess = prediction()
    guess.weight[:, :, 1, 2] = 0
    found = carry(noise(1, 3, *SIZE) + 0.1, guess)
    assert not found[..., 8:16, 16:24].any() and (found[..., :8, :] > 0).all()


def test_a_batch_is_its_pictures_one_by_one():
    corrections = noise(3, 3, *SIZE)
    parts = [prediction((1.25, 0.75), use=(True, False)), prediction((0, 0), (-2.5, 1.0), (True, True), (2, 1))]
    both = Prediction(*(torch.cat([getattr(p, name) for p in parts]) for name in ("vectors", "reference", "weight")))
    together = carry(corrections, both)
    assert torch.allclose(together, torch.cat([carry(corrections, part) for part in parts]))


def test_gradients_flow_to_the_corrections():
    corrections = noise(2, 1, *SIZE)[..., :8, :16].clone().requires_grad_()
    vectors = torch.tensor([[1.25, -0.5], [0.75, 2.5]], dtype=torch.float64).view(1, 2, 2, 1, 1).expand(1, 2, 2, 1, 2)
    reference = torch.tensor([0, 1]).view(1, 2, 1, 1).expand(1, 2, 1, 2)
    weight = torch.tensor([0.25, 0.75], dtype=torch.float64).view(1, 2, 1, 1).expand(1, 2, 1, 2)
    assert torch.autograd.gradcheck(lambda c: carry(c, Prediction(vectors, reference, weight)), corrections)


def candidates(*rows):
    """rows: (past, future) candidates, the same for every cell."""
    return torch.tensor(rows).T.view(1, 2, len(rows), 1, 1).expand(1, 2, len(rows), *GRID)


def test_the_reference_that_explains_the_block_is_chosen():
    references = noise(3, 1, *SIZE) * 255
    known = prediction((2.0, 1.0), (-1.0, 0.5), (True, True), (2, 1))
    decoded = carry(references, known) + noise(1, 1, *SIZE, seed=1)  # residual
    offered = candidates((0, 0), (1, 1), (2, 2), (UNUSED, UNUSED))
    found = choose_references(decoded, half_samples(references), known.vectors, offered)
    assert torch.equal(found.reference, known.reference) and torch.equal(found.weight, known.weight)


def test_a_list_that_does_not_help_is_unused_if_it_may_be():
    references = noise(2, 1, *SIZE) * 255
    known = prediction((2.0, 1.0), use=(True, False))
    decoded = carry(references, known)
    for offered, used in (
        (candidates((0, 1), (NO_CANDIDATE, UNUSED)), [1, 0]),
        (candidates((0, 1)), [0.5, 0.5]),
        (candidates((UNUSED, UNUSED)), [0, 0]),
    ):
        found = choose_references(decoded, half_samples(references), known.vectors, offered)
        assert found.weight[0, :, 1, 1].tolist() == used


def test_of_two_that_explain_a_block_alike_the_first_is_taken():
    references = noise(1, 1, *SIZE).repeat(2, 1, 1, 1) * 255
    references[1] += noise(1, *SIZE, seed=3) * 0.1
    offered = candidates((0, UNUSED), (1, NO_CANDIDATE))
    found = choose_references(references[1:], half_samples(references), prediction().vectors, offered)
    assert not found.reference[:, 0].any()


def test_weights_are_chosen_for_a_picture_as_a_whole():
    references = noise(2, 1, *SIZE) * 255
    default = prediction(use=(True, True), reference=(0, 1))
    uneven = torch.tensor([0.75, 0.25], dtype=torch.float64).view(1, 2, 1, 1).expand_as(default.weight)
    for truth in (default.weight, uneven):
        decoded = carry(references, Prediction(default.vectors, default.reference, truth)) + noise(1, 1, *SIZE, seed=4)
        found = choose_weights(decoded, half_samples(references), default, uneven)
        assert torch.equal(found.weight, truth)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        carry(noise(1, 3, 40, 40), prediction())
