"""Guesses combined as what is known tells: known weights come back, nothing known gives the prior, errors cancel out."""

import pytest
import torch

from b2scvr.ops.stacking import (
    BLUR_SHARES,
    CANDIDATE_SHARES,
    _agreed,
    _blurred,
    _minimum_on_simplex,
    candidate_weights,
    combine_candidates,
    least_squares_weights,
    stack_candidates,
    stack_guesses,
)
from b2scvr.types import CANDIDATES


@pytest.fixture
def pictures():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, 4, 3, 64, 80, generator=generator)


@pytest.fixture
def upper_half():
    known = torch.zeros(2, 1, 64, 80)
    known[..., :32, :] = 1
    return known


def test_the_weights_that_made_the_picture_come_back(pictures, upper_half):
    true = torch.tensor([[0.5, 0.3, 0.2, 0.0], [0.0, 0.0, 0.0, 1.0]])
    picture = torch.einsum("bk,bkchw->bchw", true, pictures)
    picture[..., 32:, :] = 0.9  # what is not known does not count
    found = least_squares_weights(pictures, picture, upper_half, torch.full((4,), 0.25))
    torch.testing.assert_close(found, true, atol=0.02, rtol=0)


def test_where_nothing_is_known_the_prior_holds(pictures):
    prior = torch.tensor([0.1, 0.2, 0.3, 0.4])
    found = least_squares_weights(pictures, pictures[:, 0], torch.zeros(2, 1, 64, 80), prior)
    torch.testing.assert_close(found, prior.expand(2, 4))
    few = torch.zeros(2, 1, 64, 80)
    few[..., :2, :2] = 1
    assert (least_squares_weights(pictures, pictures[:, 0], few, prior)[:, 0] < 0.95).all()


def test_what_agrees_with_no_other_guess_is_believed_less():
    generator = torch.Generator().manual_seed(3)
    truth = torch.rand(1, 3, 64, 80, generator=generator)
    guesses = truth[:, None] + 0.02 * torch.randn(1, 5, 3, 64, 80, generator=generator)
    nothing = torch.zeros(1, 1, 64, 80)
    assert _agreed(guesses).sub(truth).abs().mean() < 0.02
    candidates, valid = torch.cat((torch.zeros(1, 1, 3, 64, 80), guesses), 1), torch.ones(1, 6, 64, 80)
    alike = candidate_weights(candidates, valid, 1 - nothing)[0]
    candidates[:, 2] = torch.rand(1, 3, 64, 80, generator=generator)
    other = candidate_weights(candidates, valid, 1 - nothing)[0]
    assert other[1] < 0.5 * alike[1] and other[0] > alike[0], "the second guess knows nothing now"
    assert torch.equal(_agreed(guesses[:, :2]), guesses[:, 0]), "the last one repeats another"


def test_the_shares_are_those_of_the_candidates():
    assert len(CANDIDATE_SHARES) == len(CANDIDATES) - 1
    assert sum(CANDIDATE_SHARES) + sum(BLUR_SHARES) == pytest.approx(1)
    flat = torch.full((1, len(CANDIDATES), 3, 64, 80), 0.5)  # nothing speaks for any of them
    weights = candidate_weights(flat, torch.ones(1, len(CANDIDATES), 64, 80), torch.ones(1, 1, 64, 80))
    torch.testing.assert_close(weights[0], torch.tensor([*CANDIDATE_SHARES, *BLUR_SHARES]))


def test_weights_are_shares_whatever_the_picture(pictures, upper_half):
    for picture in (torch.zeros(2, 3, 64, 80), 2 * pictures[:, 0] - pictures[:, 1]):
        found = least_squares_weights(pictures, picture, upper_half, torch.full((4,), 0.25))
        assert found.min() >= 0
        torch.testing.assert_close(found.sum(1), torch.ones(2))


def test_the_nearest_point_of_the_simplex():
    targets = torch.tensor([[0.2, 0.3, 0.1], [0.5, 0.5, 2.0], [-1.0, 0.9, 0.7]], dtype=torch.float64)
    found = _minimum_on_simplex(torch.eye(3, dtype=torch.float64).expand(3, 3, 3), targets)
    expected = torch.tensor([[1 / 3, 13 / 30, 7 / 30], [0.0, 0.0, 1.0], [0.0, 0.6, 0.4]], dtype=torch.float64)
    torch.testing.assert_close(found, expected)


def test_no_other_shares_cost_less():
    generator = torch.Generator().manual_seed(2)
    roots = torch.randn(8, 9, 5, generator=generator, dtype=torch.float64)
    systems, targets = roots.mT @ roots, 3 * torch.randn(8, 5, generator=generator, dtype=torch.float64)
    others = torch.rand(5000, 5, generator=generator, dtype=torch.float64)
    others = others**4 / (others**4).sum(1, keepdim=True)

    def cost(weights: torch.Tensor) -> torch.Tensor:
        return (weights * (weights @ systems / 2 - targets[:, None])).sum(-1)

    found = _minimum_on_simplex(systems, targets)
    assert (found == 0).any() and (found >= 0).all()
    assert (cost(found[:, None]) <= cost(others.expand(8, -1, -1)).amin(1, keepdim=True)).all()


def test_errors_that_have_nothing_in_common_cancel_out(upper_half):
    generator = torch.Generator().manual_seed(1)
    truth = torch.rand(2, 3, 64, 80, generator=generator)
    guesses = truth[:, None] + 0.1 * torch.randn(2, 4, 3, 64, 80, generator=generator)
    guesses[:, 3] = torch.rand(2, 3, 64, 80, generator=generator)  # one that knows nothing
    hole = 1 - upper_half
    picture = truth * upper_half

    def error(guess: torch.Tensor) -> float:
        return float(((guess - truth).square() * hole).sum() / hole.sum() / 3)

    best = min(error(guesses[:, k]) for k in range(4))
    assert error(stack_guesses(guesses, picture, upper_half)) < 0.5 * best  # a third at the best


def test_one_guess_is_what_comes_back_and_blurred_where_nothing_speaks_for_it(pictures, upper_half):
    one = pictures[:, :1]
    torch.testing.assert_close(stack_guesses(one, one[:, 0], upper_half), one[:, 0], atol=0.02, rtol=0)
    flat = torch.full_like(one, 0.3)
    torch.testing.assert_close(stack_guesses(flat, 0 * flat[:, 0], 0 * upper_half), flat[:, 0])
    assert sum(BLUR_SHARES) < 1


def test_weights_can_be_found_here_and_used_there(pictures, upper_half):
    candidates, valid, mask = (
        pictures.repeat(1, 2, 1, 1, 1),
        torch.ones(2, 2 * pictures.shape[1], 64, 80),
        1 - upper_half,
    )
    weights = candidate_weights(candidates, valid, mask)
    torch.testing.assert_close(combine_candidates(candidates, weights), stack_candidates(candidates, valid, mask))
    assert weights.min() >= 0
    torch.testing.assert_close(weights.sum(1), torch.ones(2))


def test_pictures_of_a_batch_do_not_mix(pictures, upper_half):
    picture = torch.rand(2, 3, 64, 80)
    both = stack_guesses(pictures, picture, upper_half)
    alone = stack_guesses(pictures[1:], picture[1:], upper_half[1:])
    torch.testing.assert_close(both[1:], alone)


def test_blurring_takes_what_lies_inside(pictures):
    expected = torch.nn.functional.avg_pool2d(pictures[:, 0], 13, 1, 6, count_include_pad=False)
    torch.testing.assert_close(_blurred(pictures[:, 0], 13), expected)
