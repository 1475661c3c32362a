"""Reconstruction losses of picture restoration. An adversarial term is one more entry beside these."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

CHARBONNIER_EPSILON = 1e-3  # Charbonnier et al., 1994: L1, smooth below about a quarter of a grey level

LEAST_ERROR = (0.5 / 255) ** 2  # below it nothing is seen, and the logarithm would follow it for ever


class RestoredPicture(Protocol):
    """What the losses read of a recovery network's output: both [B, 3, H, W] in [0, 1]."""

    @property
    def restored(self) -> Tensor:
        """The answer: the decoder's picture outside the mask."""

    @property
    def blend(self) -> Tensor:
        """The network's picture, before the mask is applied."""


def recovery_losses(
    output: RestoredPicture,
    target: Tensor,
    mask: Tensor,
    hole_weight: float = 1.0,
    valid_weight: float = 0.2,
    gradient_weight: float = 0.5,
    psnr_weight: float = 0.0,
) -> dict[str, Tensor]:
    """Return the weighted terms by name; their sum is the loss. Terms of weight zero are left out.

    target: [B, 3, H, W] in [0, 1]; mask: [B, 1, H, W] in [0, 1], 1 = wrong.
    hole: Charbonnier distance inside the mask; valid: outside it, of the picture before the mask is applied, so that
    the network learns to leave right pixels alone; gradient: Charbonnier distance of the first differences inside the
    mask, for edges. Each is a mean over its own area in the whole batch, whatever that area. psnr: the mean over the batch
    of `log_error`; where several guesses are as likely, its best answer is their mean, that of the others one of them.
    """
    terms = {}
    if hole_weight:
        terms["hole"] = hole_weight * masked_mean(charbonnier(output.restored - target), mask)
    if valid_weight:
        terms["valid"] = valid_weight * masked_mean(charbonnier(output.blend - target), 1 - mask)
    if gradient_weight:
        terms["gradient"] = gradient_weight * gradient_distance(output.restored, target, mask)
    if psnr_weight:
        terms["psnr"] = psnr_weight * log_error(output.restored, target, mask).mean()
    return terms


def log_error(picture: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return log10 of the mean square error inside the mask of each picture of the batch, [B]: minus a tenth of its PSNR.

    At least that of half a grey level; a picture whose mask is empty counts as that.
    """
    area = mask.sum((1, 2, 3)) * picture.shape[1]
    error = ((picture - target).square() * mask).sum((1, 2, 3)) / area.clamp(min=1)
    return torch.log10(error + LEAST_ERROR)


def charbonnier(difference: Tensor, epsilon: float = CHARBONNIER_EPSILON) -> Tensor:
    """Return sqrt(difference^2 + epsilon^2) - epsilon, which is zero at zero."""
    return torch.sqrt(difference.square() + epsilon**2) - epsilon


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of `values` [B, C, H, W] weighted by `mask` [B, 1, H, W]; 0 where the mask is empty."""
    area = mask.sum() * values.shape[1]
    return (values * mask).sum() / area.clamp(min=1)


def gradient_distance(picture: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the masked mean Charbonnier distance of horizontal and vertical first differences.

    A difference counts as far as both of its pixels are in the mask.
    """
    error = picture - target
    across = masked_mean(charbonnier(error.diff(dim=3)), torch.minimum(mask[..., 1:], mask[..., :-1]))
    down = masked_mean(charbonnier(error.diff(dim=2)), torch.minimum(mask[..., 1:, :], mask[..., :-1, :]))
    return (across + down) / 2
