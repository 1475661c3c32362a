"""Training losses of detection: of the mask (as SAM 2 is trained), of macroblocks and of the change point."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from b2scvr.ops.batch import mask_at_pixels
from b2scvr.ops.change_point import change_point_nll

FOCAL_ALPHA = 0.25  # Lin et al., Focal Loss, 2017
FOCAL_GAMMA = 2.0


class DetectedDamage(Protocol):
    """What the losses read of a detection network's output; shapes as in dac.DetectorOutput."""

    @property
    def mask_logits(self) -> Tensor:
        """[B, 1, 4h, 4w]."""

    @property
    def macroblock_logits(self) -> Tensor:
        """[B, h, w]."""

    @property
    def temperature(self) -> Tensor:
        """Scalar."""

    @property
    def iou_prediction(self) -> Tensor:
        """[B]."""


def detection_losses(
    output: DetectedDamage,
    target_mask: Tensor,
    wrong: Tensor,
    concealed: Tensor,
    slice_start: Tensor,
    broken: Tensor,
    focal_weight: float = 20.0,
    dice_weight: float = 1.0,
    iou_weight: float = 1.0,
    change_point_weight: float = 0.1,
    macroblock_weight: float = 1.0,
) -> dict[str, Tensor]:
    """Return the weighted terms by name; their sum is the loss. Terms of weight zero are left out.

    target_mask: [B, 1, H, W] in {0, 1}; wrong, concealed, slice_start: bool [B, h, w]; broken: bool [B].
    focal, dice, iou: of the mask at full resolution, weighed as SAM 2 does; change_point: negative log likelihood of the
    true change points, nats a slice; macroblock: binary cross entropy of the logits, which also gives them their scale.

    The change point's gradient in a logit is (P(wrong) - truth) / temperature, a sum over macroblocks where the cross
    entropy is a mean: hence its small weight, or else it would drown the rest while the network knows little.
    """
    logits = mask_at_pixels(output.mask_logits.float(), (target_mask.shape[-2], target_mask.shape[-1]))
    target = target_mask.to(logits.dtype)
    terms: dict[str, Tensor] = {}
    if focal_weight:
        terms["focal"] = focal_weight * focal_loss(logits, target)
    if dice_weight:
        terms["dice"] = dice_weight * dice_loss(logits, target)
    if iou_weight:
        terms["iou"] = iou_weight * (output.iou_prediction.float() - mask_iou(logits, target)).abs().mean()
    if change_point_weight:
        nll = change_point_nll(output.macroblock_logits, wrong, slice_start, concealed, broken, output.temperature)
        terms["change_point"] = change_point_weight * nll
    if macroblock_weight:
        truth = (wrong | concealed).float()
        terms["macroblock"] = macroblock_weight * F.binary_cross_entropy_with_logits(
            output.macroblock_logits.float(), truth
        )
    return terms


def focal_loss(logits: Tensor, target: Tensor, alpha: float = FOCAL_ALPHA, gamma: float = FOCAL_GAMMA) -> Tensor:
    """Return the mean of alpha_t (1 - p_t)^gamma * cross entropy (Lin et al., 2017, equation 5)."""
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    missed = 1 - torch.exp(-entropy)  # exp(-entropy) is p_t for a target of 0 or 1
    balance = alpha * target + (1 - alpha) * (1 - target)
    return (balance * missed**gamma * entropy).mean()


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return the mean over pictures of 1 - (2 sum(p t) + 1) / (sum p + sum t + 1): 0 for an empty mask of nothing."""
    probability, truth = logits.sigmoid().flatten(1), target.flatten(1)
    overlap = 2 * (probability * truth).sum(1) + 1
    return (1 - overlap / (probability.sum(1) + truth.sum(1) + 1)).mean()


def mask_iou(logits: Tensor, target: Tensor) -> Tensor:
    """Return the IoU of each picture's mask at probability 0.5, [B], without gradient; 1 where both are empty."""
    found, truth = (logits.detach() > 0).flatten(1), (target > 0.5).flatten(1)
    union = (found | truth).sum(1)
    return torch.where(
        union > 0, (found & truth).sum(1) / union.clamp(min=1), torch.ones_like(union, dtype=torch.float)
    )
