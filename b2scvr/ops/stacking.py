"""Several guesses of a picture combined as what is known of it tells: stacked regression (Breiman, 1996).

A picture that lost bits is right up to where it lost them. How far the guesses miss it there says how far to believe each of
them where nothing is known, and how far to average: errors of guesses that agree in nothing cancel out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

RIDGE = 1e-4  # pull towards the weights that hold without evidence, in squared levels of 1, a pixel
LEAST_PIXELS = 2000.0  # that many known pixels count for as much as that pull does without any
STEPS = 300  # of projected gradient descent at most: a few guesses, no more than one small matrix
SETTLED = 1e-5  # change of a weight by which a step counts as the last one
# Pixels: sides of the squares over which the mean of the guesses is blurred, guesses for where all disagree.
BLURS = (5, 13)
BLUR_SHARES = (0.2, 0.0)  # of those, without evidence


def stack_guesses(guesses: Tensor, picture: Tensor, known: Tensor) -> Tensor:
    """Return the combination of `guesses` [B, K, 3, H, W] that comes nearest to `picture` where it is known, [B, 3, H, W].

    picture: [B, 3, H, W] in [0, 1]; known: [B, 1, H, W] in [0, 1], how far it is right. Weights are of the whole picture, none
    is negative, they sum to one. Blurred means of the guesses are combined with them.
    """
    mean = guesses.mean(1)
    blurred = [_blurred(mean, side) for side in BLURS]
    terms = torch.stack([*guesses.unbind(1), *blurred], 1)
    share = (1 - sum(BLUR_SHARES)) / guesses.shape[1]
    prior = terms.new_tensor([share] * guesses.shape[1] + list(BLUR_SHARES))
    weights = least_squares_weights(terms, picture, known, prior)
    return torch.einsum("bk,bkchw->bchw", weights, terms)


@torch.no_grad()
def stack_candidates(candidates: Tensor, candidate_valid: Tensor, mask: Tensor) -> Tensor:
    """Return the classical candidates stacked, [B, 3, H, W], judged where the decoder's own picture is right.

    candidates: [B, K, 3, H, W] in [0, 1], K >= 2, the decoder's own picture first; candidate_valid: [B, K, H, W];
    mask: [B, 1, H, W] in [0, 1], 1 = wrong.
    """
    known = (1 - mask) * candidate_valid[:, :1]
    return stack_guesses(candidates[:, 1:].float(), candidates[:, 0].float(), known.float()).to(candidates.dtype)


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
    step = 1 / torch.linalg.matrix_norm(system, 2)[:, None]
    weights = prior.double().expand(len(terms), -1)
    for _ in range(STEPS):
        last = weights
        weights = _onto_simplex(weights - step * ((system @ weights[..., None])[..., 0] - target))
        if (weights - last).abs().max() < SETTLED:
            break
    return weights.to(terms.dtype)


def _blurred(picture: Tensor, side: int) -> Tensor:
    """Return the means over squares of `side` pixels, [B, 3, H, W], of what lies inside the picture; rows, then columns."""
    planes = picture.flatten(0, 1)[:, None]
    for shape in ((side, 1), (1, side)):  # sums by convolution: pooling takes many times as long on a CPU
        kernel, reach = planes.new_ones(1, 1, *shape), (shape[0] // 2, shape[1] // 2)
        inside = F.conv2d(torch.ones_like(planes[:1]), kernel, padding=reach)
        planes = F.conv2d(planes, kernel, padding=reach) / inside
    return planes[:, 0].unflatten(0, picture.shape[:2])


def _onto_simplex(values: Tensor) -> Tensor:
    """Return the nearest point with no negative coordinate and the sum one, [..., K] (Duchi et al., ICML 2008, figure 1)."""
    ordered = values.sort(-1, descending=True).values
    count = torch.arange(1, values.shape[-1] + 1, dtype=values.dtype, device=values.device)
    surplus = (ordered.cumsum(-1) - 1) / count
    last = (ordered > surplus).sum(-1, keepdim=True) - 1
    return (values - surplus.gather(-1, last)).clamp(min=0)
