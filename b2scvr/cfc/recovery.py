"""The recovery network: one damaged picture, the pictures around it and classical guesses of it -> the picture restored.

Legend: B batch, N pictures of the window, K candidates, C feature channels, E evidence channels; h, w macroblock rows
and columns; feature maps have a quarter of the size at which the network works, the picture's own or `downscale` times smaller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from b2scvr.backbones.conv_trunk import ConvTrunk
from b2scvr.backbones.image_encoder import ConvEmbedder
from b2scvr.cfc.augmentation import HierarchicalAugmentation
from b2scvr.cfc.candidates import BlendHead, CandidateStem
from b2scvr.cfc.completion import FeatureCompletion
from b2scvr.cfc.experts import MixtureOfResidualExperts
from b2scvr.cfc.motion import STRIDE
from b2scvr.layers.focal_transformer import TemporalFocalTransformer
from b2scvr.layers.frame_encoder import FrameEncoder
from b2scvr.layers.propagation import BidirectionalPropagation
from b2scvr.ops.evidence import CHANNELS
from b2scvr.ops.padding import pad_to_multiple
from b2scvr.ops.scaling import enlarge, shrink
from b2scvr.ops.stacking import stack_candidates
from b2scvr.ops.warp import AnchoredMotion, downscale_flow
from b2scvr.registry import MODELS
from b2scvr.types import CANDIDATES, MB_SIZE

# The small network: what the arguments of RecoveryNetwork leave out.
TINY_ENCODER = dict(stem=(8, 16, 24, 24), tail=((24, 2), (24, 1)))
TINY_AUGMENTATION = dict(dims=(16, 32, 64), reductions=(8, 4, 2), heads=4)
TINY_COMPLETION = dict(depths=(2,), heads=4, window=8, mlp_ratio=2.0)
TINY_EXPERTS = dict(num_experts=2, blocks=1, depth=2, num_tokens=16)
TINY_PROPAGATION = dict(kernel_size=1, groups=8, depth=1, reach=1)
TINY_TRANSFORMER = dict(dim=96, depth=2, heads=4, window=(4, 8), expand=(2, 4), focal_window=(3, 3), ffn_channels=8)


@dataclass
class RecoveryOutput:
    """What the recovery network says. Values of pictures may leave [0, 1] a little; they are not clipped."""

    restored: Tensor  # [B, 3, H, W]: decoded * (1 - mask) + blend * mask
    blend: Tensor  # [B, 3, H, W]: the network's picture, everywhere
    weights: Tensor  # [B, K, H, W], how much of each candidate, the last one the stack, sum to one
    residual: Tensor  # [B, 3, H, W] in (-1, 1), added to the weighted candidates
    gate_weights: Tensor  # [B, experts], sum to one


@MODELS.register_module()
class RecoveryNetwork(nn.Module):
    """Codec-feature completion (CFC) of one picture, after B2SCVR, started at the best classical fill.

        window ----------------------> encode ---------------------------------.
        decoded inside the mask -----> encode -> augment (HA, image trunk) --. |
        candidates, mask, evidence --> stem ---------------------------------+-+-> complete -> experts (MoRE, gate)
             -> propagate (along the motion) -> temporal focal transformer -> head: blend weights, residual
        restored = decoded * (1 - mask) + (sum_k weight_k * candidate_k + residual) * mask

    The damaged picture enters the window as decoded outside and filled inside the mask. Every part takes the sizes of the
    published network too; what is left out is small. encoder, augmentation, completion, experts, propagation, transformer:
    arguments of FrameEncoder, HierarchicalAugmentation, FeatureCompletion, MixtureOfResidualExperts,
    BidirectionalPropagation, TemporalFocalTransformer, without their channels. trunk: a module that gives maps of
    `trunk_channels`, finest first, in place of the small ConvTrunk (Hiera in the published network). stack: the fill gives
    way to all guesses combined as the right part of the picture tells (ops.stacking). trust: share of the network's own
    picture in the answer, in [0, 1]; the rest is that of the stack; in training the answer is its own. augment: without it
    there is no HA and no trunk. downscale: the network looks at pictures that many times smaller; its blend weights and
    residual are enlarged, what it blends keeps its own size.
    """

    unshaped = ("downscale",)  # see checkpoints.load

    def __init__(
        self,
        num_candidates: int = len(CANDIDATES),
        evidence_channels: int = len(CHANNELS),
        encoder: dict | None = None,
        trunk: nn.Module | None = None,
        trunk_channels: Sequence[int] = (8, 16, 32),
        augmentation: dict | None = None,
        completion: dict | None = None,
        embedding_dim: int = 64,
        embedding_size: int = 112,
        experts: dict | None = None,
        propagation: dict | None = None,
        transformer: dict | None = None,
        skip_channels: int = 16,
        fill_weight: float = 0.95,
        stack: bool = True,
        trust: float = 1.0,
        augment: bool = True,
        downscale: int = 1,
    ) -> None:
        super().__init__()
        if num_candidates < 2:
            raise ValueError(
                f"at least 2 candidates are needed, the decoder's picture and a fill, got {num_candidates}"
            )
        if not 0 <= trust <= 1 or (trust < 1 and not stack):
            raise ValueError(f"trust must be in [0, 1], and 1 without a stack, got {trust}")
        self.num_candidates, self.stack, self.trust, self.downscale = num_candidates, stack, trust, downscale
        self.embedding_size = embedding_size
        self.encoder = FrameEncoder(**{**TINY_ENCODER, **(encoder or {})})
        channels = self.encoder.out_channels
        self.stem = CandidateStem(num_candidates, evidence_channels, skip_channels, channels, downscale)
        self.trunk: nn.Module | None = None
        self.augmentation: HierarchicalAugmentation | None = None
        if augment:
            self.trunk = trunk or ConvTrunk(trunk_channels)
            settings = {**TINY_AUGMENTATION, **(augmentation or {})}
            self.augmentation = HierarchicalAugmentation(channels, trunk_channels, **settings)
        self.completion = FeatureCompletion(channels, **{**TINY_COMPLETION, **(completion or {})})
        experts = {**TINY_EXPERTS, **(experts or {})}
        # Only the gate that reads an embedding has an embedder: another's would never get a gradient.
        gated = experts.get("gate", "embedding") == "embedding"
        self.embedder = ConvEmbedder(3, embedding_dim) if gated else None
        self.experts = MixtureOfResidualExperts(channels, embedding_dim, **experts)
        self.propagation = BidirectionalPropagation(channels, **{**TINY_PROPAGATION, **(propagation or {})})
        self.transformer = TemporalFocalTransformer(channels, **{**TINY_TRANSFORMER, **(transformer or {})})
        self.head = BlendHead(num_candidates, channels, skip_channels, skip_channels, fill_weight)

    def forward(
        self,
        window: Tensor,
        current: int,
        candidates: Tensor,
        candidate_valid: Tensor,
        mask: Tensor,
        motion: Tensor,
        distance: Tensor,
        evidence: Tensor,
        stacked: Tensor | None = None,
    ) -> RecoveryOutput:
        """Restore picture `current` of the window.

        window: [B, N, 3, H, W] in [0, 1], display order, any N >= 1 and size; current: position of the damaged picture;
        candidates: [B, K, 3, H, W] in [0, 1], the decoder's own picture first, the best fill last;
        candidate_valid: [B, K, H, W] in [0, 1]; mask: [B, 1, H, W] in [0, 1], 1 = wrong;
        motion: [B, N, 2, H, W] (x, y) pixels, damaged picture -> window picture; distance: [B, N] pictures;
        evidence: [B, E, h, w]; stacked: [B, 3, H, W], the candidates stacked where more of the picture is known than is given
        here. Raises ValueError when they do not belong together.
        """
        self._check(window, current, candidates, candidate_valid, mask, motion, evidence)
        height, width = window.shape[-2:]
        if self.stack:
            fill = stack_candidates(candidates, candidate_valid, mask) if stacked is None else stacked
            candidates = torch.cat((candidates[:, :-1], fill[:, None]), 1)
        difference = (candidates[:, :-1] - candidates[:, -1:]).abs().mean(2) * 2  # of values in [-1, 1]
        pictures, guesses, valid, difference, soft_mask, flow = (
            shrink(pad_to_multiple(x, STRIDE * self.downscale), self.downscale)
            for x in (window * 2 - 1, candidates * 2 - 1, candidate_valid, difference, mask, motion / self.downscale)
        )
        decoded, fill = guesses[:, 0], guesses[:, -1]
        corrupted = decoded * soft_mask

        features, corrupted_feature = self._encode(pictures, current, decoded, fill, corrupted, soft_mask)
        skip, told = self.stem(guesses, valid, difference, soft_mask, evidence)
        if self.augmentation is not None and self.trunk is not None:
            corrupted_feature = self.augmentation(corrupted_feature, self.trunk(corrupted), soft_mask)
        feature = self.completion(features[:, current] + told, corrupted_feature)
        feature, gate_weights = self.experts(feature, self._embed(corrupted))
        features = torch.cat((features[:, :current], feature[:, None], features[:, current + 1 :]), 1)
        feature = self.propagation(features, self._flow(flow, current), target=current)
        others, away = _others(features, current), _others(distance[..., None], current)
        feature = self.transformer(feature[:, None], others, away)[:, 0]
        weights, residual = (enlarge(x, self.downscale)[..., :height, :width] for x in self.head(feature, skip))

        own = (weights[:, :, None] * candidates).sum(1) + residual
        blend = own if self.training else candidates[:, -1].lerp(own, self.trust)
        restored = candidates[:, 0] * (1 - mask) + blend * mask
        return RecoveryOutput(restored, blend, weights, residual, gate_weights)

    def restore_picture(self, candidates: Tensor, mask: Tensor, stacked: Tensor | None = None, **others: Any) -> Tensor:
        """Return the restored picture [B, 3, H, W] alone; for its inputs see `forward`. Without a share in it, nothing is run."""
        if self.trust == 0 and stacked is not None and not self.training:
            return candidates[:, 0] * (1 - mask) + stacked * mask
        return self(candidates=candidates, mask=mask, stacked=stacked, **others).restored

    def _encode(
        self, pictures: Tensor, current: int, decoded: Tensor, fill: Tensor, corrupted: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return features of the window, its damaged picture mended, [B, N, C, ...] and of the corrupted content."""
        composite = torch.lerp(decoded, fill, mask)
        shown = torch.cat(
            (pictures[:, :current], composite[:, None], pictures[:, current + 1 :], corrupted[:, None]), 1
        )
        flat = shown.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        features = self.encoder(flat).unflatten(0, shown.shape[:2])
        return features[:, :-1], features[:, -1]

    def _embed(self, corrupted: Tensor) -> Tensor | None:
        """Return the global image embedding [B, embedding_dim] of the corrupted content."""
        if self.embedder is None:
            return None
        return self.embedder(F.adaptive_avg_pool2d(corrupted, self.embedding_size))[1]

    @staticmethod
    def _flow(motion: Tensor, current: int) -> AnchoredMotion:
        """Return the flow between pictures of the window on the feature grid, from motion in pixels."""
        small = downscale_flow(motion.flatten(0, 1), STRIDE)
        return AnchoredMotion(small.unflatten(0, motion.shape[:2]), current)

    def _check(
        self,
        window: Tensor,
        current: int,
        candidates: Tensor,
        candidate_valid: Tensor,
        mask: Tensor,
        motion: Tensor,
        evidence: Tensor,
    ) -> None:
        batch, pictures, _, height, width = window.shape
        if not 0 <= current < pictures:
            raise ValueError(f"current is {current}, the window has {pictures} pictures")
        expected = {
            "candidates": (candidates, (batch, self.num_candidates, 3, height, width)),
            "candidate_valid": (candidate_valid, (batch, self.num_candidates, height, width)),
            "mask": (mask, (batch, 1, height, width)),
            "motion": (motion, (batch, pictures, 2, height, width)),
            "evidence": (evidence, (batch, evidence.shape[1], -(-height // MB_SIZE), -(-width // MB_SIZE))),
        }
        for name, (tensor, shape) in expected.items():
            if tuple(tensor.shape) != shape:
                raise ValueError(
                    f"{name} is {list(tensor.shape)}, the window {list(window.shape)} asks for {list(shape)}"
                )


def _others(x: Tensor, current: int) -> Tensor:
    """Return `x` [B, N, ...] without the picture `current`."""
    return torch.cat((x[:, :current], x[:, current + 1 :]), 1)
