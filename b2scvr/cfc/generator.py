"""The published recovery network: all pictures of a window restored at once (B2SCVR, arXiv 2507.22481, 2025).

Legend: B batch, T pictures of a window: L local ones, consecutive, then reference pictures from farther away; C feature
channels; h, w a quarter of the padded picture's size; E experts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from b2scvr.backbones.clip import ClipImageEncoder
from b2scvr.backbones.sam2 import HieraTrunk
from b2scvr.cfc.augmentation import HierarchicalAugmentation
from b2scvr.cfc.completion import FeatureCompletion
from b2scvr.cfc.experts import MixtureOfResidualExperts
from b2scvr.cfc.motion import STRIDE, WindowFlow, vectors_of_motion
from b2scvr.cfc.quirks import PRESETS, Quirks
from b2scvr.checkpoints.generator_keys import SPYNET
from b2scvr.checkpoints.keys import load_published
from b2scvr.checkpoints.known import KNOWN, require_weights, sha256_of
from b2scvr.layers.focal_transformer import TemporalFocalTransformer
from b2scvr.layers.frame_decoder import FrameDecoder
from b2scvr.layers.frame_encoder import FrameEncoder
from b2scvr.layers.propagation import BidirectionalPropagation
from b2scvr.layers.spynet import SPyNet
from b2scvr.ops.normalise import IMAGENET, normalise
from b2scvr.ops.padding import pad_to_multiple
from b2scvr.ops.recompute import recomputed
from b2scvr.ops.warp import ChainedFlow
from b2scvr.registry import MODELS
from b2scvr.types import MV_BLOCK

OPTIONAL = ("augmentation", "completion", "experts")
PARTS = ("encoder", "trunk", "embedder", "flow", "propagation", "transformer", "decoder", *OPTIONAL)
Part = Mapping[str, Any]  # arguments of a part


@dataclass
class GeneratorOutput:
    """What the generator says. Flow is (x, y) in cells of the feature grid, between neighbours among local pictures."""

    pictures: Tensor  # [B, T, 3, H, W] in [0, 1]: the network's pictures, everywhere, references too
    flow_forward: Tensor  # [B, L - 1, 2, h, w], picture n -> n + 1
    flow_backward: Tensor  # [B, L - 1, 2, h, w], picture n + 1 -> n
    gate_weights: Tensor | None  # [B, L, E], sum to one; None without experts


@MODELS.register_module()
class RecoveryGenerator(nn.Module):
    """The published generator: restores the local pictures of a window, with reference pictures to look at.

        pictures outside the mask -> encode ------------------------------.
        pictures inside the mask --> encode -> augment (HA, image trunk) -+-> complete -> experts (MoRE, CLIP's gate)
             -> propagate (along SPyNet's flow) -> [local | references] -> temporal focal transformer -> decode, tanh

    preset: "official" computes what the published weights were trained for, quirk by quirk (see Quirks); "corrected" has
    none of them and the same parameters; quirks: single ones otherwise than in the preset. parts: which of "augmentation",
    "completion" and "experts" there are. With completion alone it is BSCVR-P (Liu et al., NeurIPS 2023), with none it is
    E2FGVI-HQ (Li et al., CVPR 2022).
    frozen: names of parts that are not trained and stay in evaluation mode. recompute: activation checkpointing, part by
    part, and in the transformer block by block. The other arguments are those of FrameEncoder, HieraTrunk,
    HierarchicalAugmentation, FeatureCompletion, ClipImageEncoder, MixtureOfResidualExperts, SPyNet (with those of
    WindowFlow: where the flow comes from), BidirectionalPropagation, TemporalFocalTransformer and FrameDecoder; what they
    leave out is as published.
    """

    def __init__(
        self,
        preset: str = "corrected",
        quirks: Mapping[str, bool] | None = None,
        parts: Sequence[str] = OPTIONAL,
        frozen: Sequence[str] = ("trunk", "embedder"),
        encoder: Part | None = None,
        trunk: Part | None = None,
        augmentation: Part | None = None,
        completion: Part | None = None,
        embedder: Part | None = None,
        experts: Part | None = None,
        flow: Part | None = None,
        propagation: Part | None = None,
        transformer: Part | None = None,
        decoder: Part | None = None,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        self.recompute = recompute
        self.quirks = _quirks(preset, quirks or {})
        _check_names("parts", parts, OPTIONAL)
        if "augmentation" in parts and "completion" not in parts:
            raise ValueError("augmentation feeds completion: leave it out too")
        self.encoder = FrameEncoder(**(encoder or {}))
        channels = self.encoder.out_channels
        self.trunk: HieraTrunk | None = None
        self.augmentation: HierarchicalAugmentation | None = None
        if "augmentation" in parts:
            self.trunk = HieraTrunk(**(trunk or {}))
            settings = {"carry": False, "stretched": self.quirks.stretched_augmentation, **(augmentation or {})}
            self.augmentation = HierarchicalAugmentation(channels, self.trunk.channels, **settings)
        self.completion: FeatureCompletion | None = None
        if "completion" in parts:
            settings = {"shifted": self.quirks.shifted_completion, "drop_path": 0.1, **(completion or {})}
            self.completion = FeatureCompletion(channels, **settings)
        self.embedder: ClipImageEncoder | None = None
        self.experts: MixtureOfResidualExperts | None = None
        if "experts" in parts:
            self._add_experts(channels, embedder or {}, experts or {})
        settings = dict(flow or {})
        self.window_flow = WindowFlow(**{key: settings.pop(key) for key in ("source", "holes") if key in settings})
        self.flow = SPyNet(**settings) if self.window_flow.needs_network else None
        self.propagation = BidirectionalPropagation(channels, **(propagation or {}))
        settings = {"time_embedding": False, "wrap": True, "recompute": recompute, **(transformer or {})}
        self.transformer = TemporalFocalTransformer(channels, **settings)
        self.decoder = FrameDecoder(channels, **(decoder or {}))
        stride = self.transformer.grid.stride * STRIDE
        self.multiple = (self.transformer.window[0] * stride, self.transformer.window[1] * stride)  # pixels
        _check_names("frozen", frozen, PARTS)
        self.frozen = tuple(frozen)
        for part in self._frozen_parts():
            part.requires_grad_(False)
        self.train()

    def _add_experts(self, channels: int, embedder: Part, experts: Part) -> None:
        settings = {
            "shared_norm": True,
            "replace": self.quirks.replacing_experts,
            "across_pictures": self.quirks.attention_across_pictures,
            **experts,
        }
        # Only the gate that reads an embedding has an embedder: another's would never be asked.
        if settings.get("gate", "embedding") == "embedding":
            self.embedder = ClipImageEncoder(**embedder)
            settings["embedding_dim"] = self.embedder.dim
        self.experts = MixtureOfResidualExperts(channels, **settings)

    def train(self, mode: bool = True) -> RecoveryGenerator:
        """Set the mode of all parts but the frozen ones, which stay in evaluation mode."""
        super().train(mode)
        for part in self._frozen_parts():
            part.eval()
        return self

    def load_pretrained(self, paths: Mapping[str, str] | None = None) -> dict[str, str]:
        """Give trunk, embedder and flow their published weights and return the SHA-256 of the files by name.

        paths: name in checkpoints.known -> file; the others are looked for. MissingWeightsError says which file is
        wanted, and from where. Not to be used with the weights of B2SCVR, which hold backbones of their own.
        """
        found: dict[str, str] = {}
        for backbone in (self.trunk, self.embedder):
            found |= backbone.load_pretrained(paths or {}) if backbone is not None else {}
        if self.flow is None:
            return found
        path = require_weights(KNOWN["spynet"], (paths or {}).get("spynet"))
        load_published(path, self.flow, SPYNET)
        return found | {"spynet": sha256_of(path)}

    def forward(
        self,
        pictures: Tensor,
        mask: Tensor,
        local: int,
        corrupted: Tensor | None = None,
        vectors: Tensor | None = None,
    ) -> GeneratorOutput:
        """Restore a window.

        pictures: [B, T, 3, H, W] in [0, 1], any size, what is right outside the mask; the first `local` ones follow one
        another, the others are references; mask: [B, T, 1, H, W] in [0, 1], 1 = corrupted; corrupted: as pictures, what is
        seen inside the mask (default: `pictures`); vectors: of the local pictures (cfc.motion), read when the flow comes
        from them. Raises ValueError when they do not belong together, are integers, or vectors are wanting.
        """
        corrupted = pictures if corrupted is None else corrupted
        self._check(pictures, mask, local, corrupted, vectors)
        height, width = pictures.shape[-2:]
        known, wrong, mask = (_pad(x, self.multiple) for x in (pictures * 2 - 1, corrupted[:, :local] * 2 - 1, mask))
        given = mask[:, :local]
        if self.quirks.first_mask_instead_of_none:
            mask = _mask_first_of_unmasked(mask)
        outside = known * (1 - mask)
        inside = wrong * mask[:, :local]

        features = self._encode(outside)
        feature, references = features[:, :local], features[:, local:]
        if self.completion is not None:
            content = self._encode(inside).flatten(0, 1)
            content = self.augmented(content, wrong.flatten(0, 1), given.flatten(0, 1))
            completed = recomputed(self.completion, feature.flatten(0, 1), content, wanted=self.recompute)
            feature = completed.unflatten(0, feature.shape[:2])
        feature, gate_weights = self._mixed(feature, inside)
        flow_forward, flow_backward = self.window_flow(self.flow, outside[:, :local], vectors)
        # It is the backward sweep that looks ahead.
        ahead = flow_forward.flip(1) if self.quirks.reversed_backward_flow else flow_forward
        feature = recomputed(self._propagated, feature, ahead, flow_backward, wanted=self.recompute)
        features = self.transformer(torch.cat((feature, references), 1))
        decoded = recomputed(self.decoder, features.flatten(0, 1), wanted=self.recompute)
        decoded = decoded.unflatten(0, features.shape[:2])

        restored = (torch.tanh(decoded[..., :height, :width]) + 1) / 2
        return GeneratorOutput(restored, flow_forward, flow_backward, gate_weights)

    def restore_picture(
        self, window: Tensor, current: int, mask: Tensor, motion: Tensor | None = None, **_unread: Any
    ) -> Tensor:
        """Return picture `current` of a window, restored inside its mask, [B, 3, H, W].

        window: [B, N, 3, H, W] in [0, 1], display order, all local; mask: [B, 1, H, W] of picture `current`; motion:
        [B, N, 2, H, W] pixels, picture `current` -> window picture, read when the flow comes from vectors; what else
        `RecoveryNetwork` is given is not read. The other pictures count as right.
        """
        masks = torch.zeros_like(window[:, :, :1])
        masks[:, current] = mask
        known = self.window_flow.needs_vectors and motion is not None
        vectors = vectors_of_motion(motion, current) if known and motion is not None else None
        restored = self(window, masks, window.shape[1], vectors=vectors).pictures[:, current]
        return window[:, current] * (1 - mask) + restored * mask

    def _encode(self, pictures: Tensor) -> Tensor:
        """[B, T, 3, H, W] in [-1, 1] -> features [B, T, C, h, w]."""
        encoded = recomputed(self.encoder, pictures.flatten(0, 1), wanted=self.recompute)
        return encoded.unflatten(0, pictures.shape[:2])

    def augmented(self, content: Tensor, pictures: Tensor, mask: Tensor) -> Tensor:
        """Return the feature of the corrupted content [B, C, h, w] after HA; pictures: [B, 3, H, W] in [-1, 1], whole."""
        if self.augmentation is None or self.trunk is None:
            return content
        height, width = content.shape[-2:]
        multiple = self.trunk.multiple
        if self.quirks.stretched_augmentation:
            size = [-(-side // multiple) * multiple for side in pictures.shape[-2:]]
            pictures, mask = (F.interpolate(x, size, mode="bilinear") for x in (pictures, mask))
        else:
            pictures, mask = pad_to_multiple(pictures, multiple), pad_to_multiple(mask, multiple)
            content = pad_to_multiple(content, multiple // STRIDE)
        if not self.quirks.raw_backbone_input:
            pictures = normalise((pictures + 1) / 2, IMAGENET)
        content = recomputed(self.augmentation, content, self.trunk(pictures), mask, wanted=self.recompute)
        return content[..., :height, :width]

    def _mixed(self, feature: Tensor, inside: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the feature [B, L, C, h, w] after MoRE, and the gate's weights; inside: [B, L, 3, H, W] in [-1, 1]."""
        if self.experts is None:
            return feature, None
        shape = feature.shape[:2]
        embedding = self.embedding(inside.flatten(0, 1))
        mixed, weights = recomputed(self.experts, feature.flatten(0, 1), embedding, shape[1], wanted=self.recompute)
        return mixed.unflatten(0, shape), weights.unflatten(0, shape)

    def embedding(self, content: Tensor) -> Tensor | None:
        """Return the image embedding [B, D] of the corrupted content [B, 3, H, W] in [-1, 1], grey outside the mask."""
        if self.embedder is None:
            return None
        if self.quirks.raw_backbone_input:
            size = (self.embedder.image_size, self.embedder.image_size)
            return self.embedder(F.interpolate(content, size, mode="bilinear"))[1]
        return self.embedder(self.embedder.prepare((content + 1) / 2))[1]

    def _propagated(self, feature: Tensor, flow_forward: Tensor, flow_backward: Tensor) -> Tensor:
        return self.propagation(feature, ChainedFlow(flow_forward, flow_backward))

    def _frozen_parts(self) -> list[nn.Module]:
        parts = (getattr(self, name) for name in self.frozen)
        return [part for part in parts if part is not None]

    @staticmethod
    def _check(pictures: Tensor, mask: Tensor, local: int, corrupted: Tensor, vectors: Tensor | None) -> None:
        if pictures.dim() != 5 or pictures.shape[2] != 3:
            raise ValueError(f"pictures must be [B, T, 3, H, W], got {list(pictures.shape)}")
        batch, count, _, height, width = pictures.shape
        if not 1 <= local <= count:
            raise ValueError(f"local must be between 1 and the window's {count} pictures, got {local}")
        expected = {
            "pictures": (pictures, pictures.shape),
            "mask": (mask, (batch, count, 1, height, width)),
            "corrupted": (corrupted, pictures.shape),
        }
        if vectors is not None:
            cells = (-(-height // MV_BLOCK), -(-width // MV_BLOCK))
            expected["vectors"] = (vectors, (batch, 2, local - 1, 3, *cells))
        for name, (tensor, shape) in expected.items():
            if tensor.shape != shape:
                raise ValueError(
                    f"{name} is {list(tensor.shape)}, pictures {list(pictures.shape)} ask for {list(shape)}"
                )
            if not tensor.is_floating_point():
                raise ValueError(f"{name}: numbers in [0, 1] are asked for, floating point, got {tensor.dtype}")


def _pad(x: Tensor, multiple: tuple[int, int]) -> Tensor:
    return pad_to_multiple(x, multiple, "mirror")


def _mask_first_of_unmasked(mask: Tensor) -> Tensor:
    """Return `mask` [B, T, 1, H, W], the first picture of a clip without any mask wholly masked."""
    unmasked = (mask == 0).flatten(1).all(1)
    first = torch.zeros_like(mask)
    first[:, 0] = 1
    return torch.where(unmasked[:, None, None, None, None], first, mask)


def _quirks(preset: str, changes: Mapping[str, bool]) -> Quirks:
    _check_names("preset", [preset], PRESETS)
    _check_names("quirks", changes, [field.name for field in fields(Quirks)])
    return replace(PRESETS[preset], **changes)


def _check_names(argument: str, names: Iterable[str], known: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{argument}: unknown {name!r}; known: {', '.join(known)}")
