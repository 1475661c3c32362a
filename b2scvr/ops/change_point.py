"""The raster prior: inside a broken slice everything before some macroblock is right, everything from it on is wrong.

A slice is entropy coded in raster order (H.264 7.3.4). Lost bits leave the macroblocks before them right; from there on
the decoder reads garbage until it notices, and conceals the rest. So the damage of a slice is one unknown, its change
point k: the first wrong macroblock, or none. With z_i the logit that macroblock i is wrong and sums inside the slice,

    score(k) = sum of z_i over i >= k,  score(none) = 0,  posterior = softmax(score / temperature)
    P(i is wrong) = sum of posterior(k) over k <= i

is Bayes' rule for a uniform prior over k, were the z_i independent log likelihood ratios. They are not: neighbours see
the same pixels and share receptive fields, so the sum over hundreds of macroblocks counts the same evidence many times
and would be far too sure. The temperature divides it by about the number of macroblocks that say the same.

Macroblocks that the decoder concealed are known to be wrong: k is at most the first of them, and "none" is excluded. Where it
concealed some of a picture, the picture's other slices are taken for right: garbage that ends just where a slice does is rare.

Legend: B pictures, L = h * w macroblocks in raster order, S slices (the most of any picture of the batch).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

IMPOSSIBLE = -1e9  # score of an excluded change point: exp gives an exact zero, and the gradient stays finite


@dataclass
class RasterSlices:
    """The slices of a batch of pictures, flattened in raster order."""

    index: Tensor  # int64 [B, L], which slice of its picture a macroblock belongs to, 0..S-1
    first: Tensor  # int64 [B, L], raster position of the first macroblock of its slice
    concealed: Tensor  # bool [B, L]
    exists: Tensor  # bool [B, S], False where a picture has fewer slices than another

    @classmethod
    def from_maps(cls, slice_start: Tensor, concealed: Tensor) -> RasterSlices:
        """slice_start, concealed: bool [B, h, w]. A picture without a start at macroblock 0 gets one there."""
        start = slice_start.flatten(1).clone()
        start[:, 0] = True
        index = start.long().cumsum(1) - 1
        position = torch.arange(start.shape[1], device=start.device).expand_as(index)
        first = torch.where(start, position, torch.zeros_like(position)).cummax(1).values
        counts = index[:, -1:] + 1
        exists = torch.arange(int(counts.max()), device=start.device)[None] < counts
        return cls(index, first, concealed.flatten(1), exists)

    def running_sum(self, values: Tensor) -> Tensor:
        """Return at each macroblock the sum of `values` [B, L] from the start of its slice to it."""
        total = values.cumsum(1)
        return total - (total - values).gather(1, self.first)

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of `values` [B, L] over each slice, [B, S]."""
        return values.new_zeros(self.exists.shape).scatter_add(1, self.index, values)

    def max(self, values: Tensor) -> Tensor:
        """Return the largest of `values` [B, L] in each slice, [B, S]; zero where there is no slice."""
        zeros = values.new_zeros(self.exists.shape)
        return zeros.scatter_reduce(1, self.index, values, "amax", include_self=False)

    def first_of(self, flags: Tensor) -> Tensor:
        """Return bool [B, L], True at the first of each slice's True macroblocks in `flags` [B, L]."""
        return flags & (self.running_sum(flags.long()) == 1)

    def spared(self) -> Tensor:
        """Return bool [B, L], True in slices without a concealed macroblock of pictures that have one elsewhere."""
        is_hit = self.sum(self.concealed.long()).gather(1, self.index) > 0
        return ~is_hit & self.concealed.any(1, keepdim=True)

    def possible(self) -> Tensor:
        """Return bool [B, L]: k may be here, no concealed macroblock of the slice comes before."""
        known = self.concealed.long()
        return self.running_sum(known) - known == 0


@dataclass
class ChangePointPosterior:
    """Log probability of each change point. Those of a slice and its `none` sum to one."""

    slices: RasterSlices
    log_at: Tensor  # float32 [B, L], the slice changes at this macroblock
    log_none: Tensor  # float32 [B, S], no macroblock of the slice is wrong


def change_point_posterior(logits: Tensor, slices: RasterSlices, temperature: Tensor | float) -> ChangePointPosterior:
    """Return the posterior from macroblock logits [B, h, w], in float32 and in log space."""
    values = logits.flatten(1).float() / temperature
    running = slices.running_sum(values)
    total = slices.sum(values)
    from_here = total.gather(1, slices.index) - running + values
    score = from_here.masked_fill(~slices.possible(), IMPOSSIBLE)
    excluded = slices.sum(slices.concealed.long()) > 0
    score_none = torch.zeros_like(total).masked_fill(excluded, IMPOSSIBLE)
    # The largest score cancels; it only keeps the exponentials in range.
    largest = torch.maximum(slices.max(score.detach()), score_none)
    mass = slices.sum((score - largest.gather(1, slices.index)).exp()) + (score_none - largest).exp()
    log_mass = largest + mass.log()
    return ChangePointPosterior(slices, score - log_mass.gather(1, slices.index), score_none - log_mass)


def wrong_probability(
    logits: Tensor, slice_start: Tensor, concealed: Tensor, broken: Tensor, temperature: Tensor | float
) -> Tensor:
    """Return the probability that a macroblock is wrong, float32 [B, h, w].

    logits: [B, h, w]; slice_start, concealed: bool [B, h, w]; broken: bool [B]. A picture that lost no bits of its own
    is damaged wherever its references are, in no raster order: there it is sigmoid(logits). Of a broken picture the slices in
    which the decoder noticed nothing are right, if it noticed anything in another.
    """
    slices = RasterSlices.from_maps(slice_start, concealed)
    posterior = change_point_posterior(logits, slices, temperature)
    suffix = slices.running_sum(posterior.log_at.exp()).clamp(0, 1) * ~slices.spared()
    return torch.where(broken[:, None, None], suffix.reshape(logits.shape), logits.float().sigmoid())


def change_point_nll(
    logits: Tensor,
    wrong: Tensor,
    slice_start: Tensor,
    concealed: Tensor,
    broken: Tensor,
    temperature: Tensor | float,
) -> Tensor:
    """Return the mean negative log likelihood of the true change points, in nats a slice; 0 without a broken picture.

    wrong: bool [B, h, w], the truth; the rest as in `wrong_probability`. The true change point of a slice is its first
    wrong macroblock, or none. A concealed macroblock counts as wrong even where concealment hit the truth by chance.
    """
    slices = RasterSlices.from_maps(slice_start, concealed)
    posterior = change_point_posterior(logits, slices, temperature)
    damaged = wrong.flatten(1) | slices.concealed
    at_first = slices.sum(posterior.log_at * slices.first_of(damaged))
    intact = slices.sum(damaged.long()) == 0
    log_likelihood = torch.where(intact, posterior.log_none, at_first)
    counted = (slices.exists & broken[:, None]).to(log_likelihood.dtype)
    return -(log_likelihood * counted).sum() / counted.sum().clamp(min=1)
