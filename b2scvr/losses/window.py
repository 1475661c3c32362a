"""Losses of a window of pictures that a generator restored: reconstruction (E2FGVI, 2022; B2SCVR, 2025) and flow."""

from __future__ import annotations

from torch import Tensor

from b2scvr.losses.recovery import masked_mean


def window_losses(
    pictures: Tensor, target: Tensor, mask: Tensor, hole_weight: float = 1.0, valid_weight: float = 1.0
) -> dict[str, Tensor]:
    """Return the weighted terms by name; their sum is the loss. Terms of weight zero are left out.

    pictures: [B, T, 3, H, W], the network's pictures, everywhere; target: the same, true; both in [0, 1]; mask:
    [B, T, 1, H, W] in [0, 1], 1 = wrong. hole, valid: L1 inside and outside the mask, each a mean over its own area in
    the whole batch, 0 for an area that is empty. Raises ValueError when they do not belong together.
    """
    if pictures.shape != target.shape or mask.shape != (*target.shape[:2], 1, *target.shape[3:]):
        raise ValueError(
            f"pictures {list(pictures.shape)}, target {list(target.shape)} and mask {list(mask.shape)} do not belong together"
        )
    distance = (pictures.float() - target).abs().flatten(0, 1)
    wrong = mask.flatten(0, 1)
    terms = {}
    if hole_weight:
        terms["hole"] = hole_weight * masked_mean(distance, wrong)
    if valid_weight:
        terms["valid"] = valid_weight * masked_mean(distance, 1 - wrong)
    return terms


def flow_loss(found: tuple[Tensor, Tensor], true: tuple[Tensor, Tensor]) -> Tensor:
    """Return the L1 distance of flows, forward plus backward, each [B, L - 1, 2, h, w] cells; 0 for a single picture.

    found: of the damaged pictures; true: of the true ones, without gradient (E2FGVI, equation 1).
    """
    forward, backward = (
        (a.float() - b.detach()).abs().sum() / max(a.numel(), 1) for a, b in zip(found, true, strict=True)
    )
    return forward + backward
