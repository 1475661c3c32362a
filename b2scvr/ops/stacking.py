"""Several guesses of a picture combined as what is known of it tells: stacked regression (Breiman, 1996).

A picture that lost bits is right up to where it lost them. How far the guesses miss it there says how far to believe each of
them where nothing is known, and how far to average: errors of guesses that agree in nothing cancel out. There, too, a little
is told: a guess that is far from what the others agree in is believed less.
"""

from __future__ import annotations

from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

RIDGE = 1e-5  # pull towards the weights that hold without evidence, in squared levels of 1, a pixel
LEAST_PIXELS = 2000.0  # that many known pixels count for as much as that pull does without any
# Pixels: sides of the squares over which the mean of the guesses is blurred, guesses for where all disagree. Larger squares gain
# nothing in squared error and show.
BLURS = (3, 5)
BLUR_SHARES = (0.08, 0.1)  # of those, without evidence
# Without evidence, of the guesses that types.CANDIDATES names behind the decoder's own picture: the mean of the weights that were
# best for 628 training samples. Other guesses share alike.
CANDIDATE_SHARES = (0.13, 0.24, 0.18, 0.15, 0.12)
AGREED = 0.005  # so much of a known pixel counts one of which only the guesses tell


def stack_guesses(guesses: Tensor, picture: Tensor, known: Tensor) -> Tensor:
    """Return the combination of `guesses` [B, K, 3, H, W] that comes nearest to `picture` where it is known, [B, 3, H, W].

    picture: [B, 3, H, W] in [0, 1]; known: [B, 1, H, W] in [0, 1], how far it is right. Weights are of the whole picture, none
    is negative, they sum to one. Blurred means of the guesses are combined with them. The last guess may repeat another.
    """
    terms = _with_blurred_means(guesses)
    return _combined(terms, _stack_weights(terms, picture, known))


@torch.no_grad()
def stack_candidates(candidates: Tensor, candidate_valid: Tensor, mask: Tensor) -> Tensor:
    """Return the classical candidates stacked, [B, 3, H, W], judged where the decoder's own picture is right.

    candidates: [B, K, 3, H, W] in [0, 1], K >= 2, the decoder's own picture first; candidate_valid: [B, K, H, W];
    mask: [B, 1, H, W] in [0, 1], 1 = wrong.
    """
    known = (1 - mask) * candidate_valid[:, :1]
    return stack_guesses(candidates[:, 1:].float(), candidates[:, 0].float(), known.float()).to(candidates.dtype)


@torch.no_grad()
def candidate_weights(candidates: Tensor, candidate_valid: Tensor, mask: Tensor) -> Tensor:
    """Return the weights [B, K + 1] with which `stack_candidates` combines what it is given, for `combine_candidates`."""
    terms, known = _with_blurred_means(candidates[:, 1:]), (1 - mask) * candidate_valid[:, :1]
    return _stack_weights(terms, candidates[:, 0], known)


@torch.no_grad()
def combine_candidates(candidates: Tensor, weights: Tensor) -> Tensor:
    """Return candidates [B, K, 3, H, W] combined with `candidate_weights`, [B, 3, H, W]."""
    return _combined(_with_blurred_means(candidates[:, 1:]), weights)


def least_squares_weights(terms: Tensor, picture: Tensor, known: Tensor, prior: Tensor) -> Tensor:
    """Return weights [B, K] >= 0 that sum to one: with them `terms` [B, K, 3, H, W] miss `picture` least where it is known.

    prior: [K], the weights where nothing is known. Minimised is the mean square error over the known pixels plus RIDGE times
    the square distance to the prior, which counts the more the fewer pixels are known (LEAST_PIXELS).
    """
    error = ((terms - picture[:, None]) * known[:, None].sqrt()).flatten(2)
    pixels = known.sum((1, 2, 3)).double()[:, None, None]
    moments = (error @ error.mT).double() / picture.shape[1]
    pull = RIDGE * (pixels + LEAST_PIXELS)
    system = moments + pull * torch.eye(len(prior), dtype=torch.float64, device=terms.device)
    target = pull[..., 0] * prior.double()
    return _minimum_on_simplex(system, target).to(terms.dtype)


def _with_blurred_means(guesses: Tensor) -> Tensor:
    """Return guesses [B, K, 3, H, W] and their mean blurred over each of BLURS, [B, K + 2, 3, H, W]."""
    mean = guesses.mean(1)
    return torch.stack([*guesses.unbind(1), *(_blurred(mean, side) for side in BLURS)], 1)


def _stack_weights(terms: Tensor, picture: Tensor, known: Tensor) -> Tensor:
    """Return the weights of guesses and blurred means."""
    guesses = terms[:, : -len(BLURS)]
    count = guesses.shape[1]
    alike = ((1 - sum(BLUR_SHARES)) / count,) * count
    prior = terms.new_tensor((*(CANDIDATE_SHARES if count == len(CANDIDATE_SHARES) else alike), *BLUR_SHARES))
    told = torch.where(known > 0, picture, _agreed(guesses))
    return least_squares_weights(terms, told, torch.where(known > 0, known, AGREED), prior)


def _agreed(guesses: Tensor) -> Tensor:
    """Return the mean of guesses [B, K, 3, H, W] without the lowest and the highest at each sample, [B, 3, H, W].

    The last one is left out: it repeats one of the others (types.CANDIDATES). Of fewer than three it is the plain mean.
    """
    others = guesses[:, :-1] if guesses.shape[1] > 1 else guesses
    if others.shape[1] < 3:
        return others.mean(1)
    return (others.sum(1) - others.amin(1) - others.amax(1)) / (others.shape[1] - 2)


def _combined(terms: Tensor, weights: Tensor) -> Tensor:
    return torch.einsum("bk,bkchw->bchw", weights, terms)


def _blurred(picture: Tensor, side: int) -> Tensor:
    """Return the means over squares of `side` pixels, [..., H, W], of what lies inside the picture."""
    total = _sums(_sums(picture, -2, side), -1, side)
    inside = [_sums(picture.new_ones(size), -1, side) for size in picture.shape[-2:]]
    return total / (inside[0][:, None] * inside[1])


def _sums(x: Tensor, axis: int, side: int) -> Tensor:
    """Return the sums of `side` neighbours along an axis, -2 or -1: of slices, pooling takes many times as long on a CPU."""
    reach = side // 2
    padded = F.pad(x, (0, 0) * (-1 - axis) + (reach, reach))
    return reduce(torch.add, (padded.narrow(axis, start, x.shape[axis]) for start in range(side)))


def _minimum_on_simplex(system: Tensor, target: Tensor) -> Tensor:
    """Return the weights w [B, K] >= 0, sum one, of the least w' A w / 2 - b' w.

    system: A [B, K, K], positive definite; target: b [B, K].

    Exact: with the terms known that take part, the rest is one linear system (the conditions of Karush, Kuhn and Tucker), and
    a few terms have few subsets, 127 for seven.
    """
    count = target.shape[-1]
    taking_part = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * count)[1:].to(system)  # [2 ** K - 1, K]
    inside, outside = taking_part[:, :, None], torch.diag_embed(1 - taking_part)
    rows = torch.cat((inside * system[:, None] + outside, -inside.expand(len(system), -1, -1, -1)), -1)
    last = F.pad(taking_part, (0, 1)).expand(len(system), -1, -1)[:, :, None]
    right = F.pad(taking_part * target[:, None], (0, 1), value=1.0)
    weights = torch.linalg.solve(torch.cat((rows, last), 2), right)[..., :count]
    cost = (weights * ((weights @ system) / 2 - target[:, None])).sum(-1)
    best = cost.masked_fill((weights < 0).any(-1), torch.inf).argmin(1)
    return weights[torch.arange(len(weights)), best]
