"""Mixture of residual experts (MoRE): token-dictionary experts, mixed by a gate that reads an image embedding (B2SCVR)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.convnext import LayerNorm2d

from b2scvr.layers.frame_encoder import LEAK
from b2scvr.layers.token_dictionary import TokenDictionaryBlock
from b2scvr.ops.padding import pad_to_multiple

GATES = ("embedding", "linear", "none")
MIRROR_MULTIPLE = 8  # cells; the published experts see the feature mirrored up to it


class ResidualExpert(nn.Module):
    """Blocks with a learned token dictionary each, layer norm, 3x3 convolution: a correction to the feature.

    own_norm: without it, the layer norm is given to `forward`, for experts that share one.
    """

    def __init__(
        self,
        dim: int,
        blocks: int,
        depth: int,
        num_tokens: int,
        reduced_dim: int,
        mlp_ratio: float,
        conv_kernel: int,
        own_norm: bool = True,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            TokenDictionaryBlock(
                dim,
                num_tokens=num_tokens,
                depth=depth,
                reduced_dim=reduced_dim,
                mlp_ratio=mlp_ratio,
                conv_kernel=conv_kernel,
                learned_dictionary=True,
            )
            for _ in range(blocks)
        )
        self.norm = LayerNorm2d(dim) if own_norm else None
        self.conv_after_body = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x: Tensor, norm: nn.Module | None = None) -> Tensor:
        """[B, dim, h, w] -> the same."""
        for block in self.blocks:
            x = block(x)
        norm = self.norm or norm
        if norm is None:
            raise ValueError("an expert without a layer norm of its own must be given one")
        return self.conv_after_body(norm(x))


class ChannelAttention(nn.Module):
    """One factor in (0, 1) a channel of a picture's feature, from its mean and a condition.

    Channels look at one another: softmax over channels of q_i * k_j / sqrt(dim), q from the condition, k and v from
    the mean of the feature. It stays inside one picture: what else is in the batch changes nothing.
    across_pictures: the pictures of a clip look at one another instead, softmax over pictures of q_i . k_j /
    sqrt(condition_dim): a picture's factors depend on the company that it is in. The published weights expect it.
    """

    def __init__(self, dim: int, condition_dim: int, across_pictures: bool = False) -> None:
        super().__init__()
        self.across_pictures = across_pictures
        self.condition_dim = condition_dim
        self.condition = nn.Linear(condition_dim, dim)
        self.q, self.k, self.v = (nn.Linear(dim, dim) for _ in range(3))
        self.mlp = nn.Sequential(nn.Linear(dim, dim // 2), nn.LeakyReLU(LEAK), nn.Linear(dim // 2, dim))

    def forward(self, x: Tensor, condition: Tensor, pictures: int = 1) -> Tensor:
        """Return x times its factors.

        x: [B, dim, h, w]; condition: [B, condition_dim]; pictures: in a clip, B is a multiple of it.
        """
        mean = x.mean((2, 3))
        query, key, value = self.q(F.leaky_relu(self.condition(condition), LEAK)), self.k(mean), self.v(mean)
        if self.across_pictures:
            q, k, v = (y.unflatten(0, (-1, pictures)) for y in (query, key, value))
            attended = ((q @ k.mT / math.sqrt(self.condition_dim)).softmax(-1) @ v).flatten(0, 1)
        else:
            logits = query[:, :, None] * key[:, None, :] / math.sqrt(mean.shape[1])
            attended = (logits.softmax(-1) @ value[:, :, None]).squeeze(-1)
        return x * torch.sigmoid(self.mlp(attended))[:, :, None, None]


@dataclass
class ExpertMixture:
    """What the experts say of B pictures, before the channel attention, in which pictures may look at one another."""

    skip: Tensor | None  # [B, dim, h, w], to which the mixture is added; None where it takes the feature's place
    mixed: Tensor  # [B, dim, h', w'], the weighted sum of the experts, with what it was mirrored by
    condition: Tensor  # [B, condition_dim]
    weights: Tensor  # [B, experts], the gate's, sum to one


class MixtureOfResidualExperts(nn.Module):
    """x + channel attention(sum over experts of gate_k * expert_k(layer norm(x))).

    gate: "embedding" (an MLP on the image embedding of the corrupted content), "linear" (on the feature's mean; the
    paper's ablation) or "none" (equal weights). shared_norm: the experts share their last layer norm, as published.
    What the published weights expect and training should not: replace: no "x +" in front, the mixture takes the feature's
    place, and experts see it mirrored up to multiples of MIRROR_MULTIPLE; across_pictures: see ChannelAttention.
    Defaults: the published sizes.
    """

    def __init__(
        self,
        dim: int = 128,
        embedding_dim: int = 512,
        num_experts: int = 2,
        gate: str = "embedding",
        blocks: int = 2,
        depth: int = 3,
        num_tokens: int = 64,
        reduced_dim: int = 4,
        mlp_ratio: float = 2.0,
        conv_kernel: int = 5,
        shared_norm: bool = False,
        replace: bool = False,
        across_pictures: bool = False,
    ) -> None:
        super().__init__()
        if gate not in GATES:
            raise ValueError(f"gate must be one of {GATES}, got {gate!r}")
        if num_experts < 1:
            raise ValueError(f"at least one expert is needed, got {num_experts}")
        self.gate_kind = gate
        self.num_experts = num_experts
        self.replace = replace
        self.norm = LayerNorm2d(dim)
        self.expert_norm = LayerNorm2d(dim) if shared_norm else None
        self.experts = nn.ModuleList(
            ResidualExpert(dim, blocks, depth, num_tokens, reduced_dim, mlp_ratio, conv_kernel, not shared_norm)
            for _ in range(num_experts)
        )
        if gate == "embedding":
            half, quarter = embedding_dim // 2, embedding_dim // 4
            self.adapter = _mlp(embedding_dim, half, quarter, half, embedding_dim)
        # One expert has nothing to choose: a gate of its own would never get a gradient.
        if num_experts > 1 and gate == "embedding":
            self.gate: nn.Module | None = _mlp(embedding_dim, half, quarter, num_experts)
        else:
            self.gate = nn.Linear(dim, num_experts) if num_experts > 1 and gate == "linear" else None
        condition_dim = embedding_dim if gate == "embedding" else dim
        self.channel_attention = ChannelAttention(dim, condition_dim, across_pictures)

    def forward(self, x: Tensor, embedding: Tensor | None, pictures: int = 1) -> tuple[Tensor, Tensor]:
        """x: [B, dim, h, w]; embedding: [B, embedding_dim], needed by the gate "embedding" only; pictures: in a clip.

        Returns the feature, as x, and the gate's weights [B, experts], which sum to one.
        """
        height, width = x.shape[-2:]
        mixture = self.mix(x, embedding)
        return self.together(mixture, pictures)[..., :height, :width], mixture.weights

    def mix(self, x: Tensor, embedding: Tensor | None) -> ExpertMixture:
        """Return what is known of each picture without its company; arguments as those of `forward`."""
        shown = pad_to_multiple(x, MIRROR_MULTIPLE, "mirror") if self.replace else x
        condition = shown.mean((2, 3))
        if self.gate_kind == "embedding":
            if embedding is None:
                raise ValueError("the gate 'embedding' needs an image embedding, got None")
            condition = self.adapter(embedding)
        if self.gate is None:
            weights = x.new_full((len(x), self.num_experts), 1 / self.num_experts)
        else:
            weights = self.gate(condition).softmax(-1)
        normed = self.norm(shown)
        mixed = torch.zeros_like(shown)
        for expert, weight in zip(self.experts, weights.unbind(1), strict=True):
            mixed = mixed + weight[:, None, None, None] * expert(normed, self.expert_norm)
        return ExpertMixture(None if self.replace else x, mixed, condition, weights)

    def together(self, mixture: ExpertMixture, pictures: int = 1) -> Tensor:
        """Return the feature [B, dim, h', w'] of pictures in the company of one another; pictures: in a clip."""
        mixed = self.channel_attention(mixture.mixed, mixture.condition, pictures)
        return mixed if mixture.skip is None else mixture.skip + mixed


def _mlp(*widths: int) -> nn.Sequential:
    """Linear layers of `widths` with leaky ReLU between."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.LeakyReLU(LEAK)]
    return nn.Sequential(*layers[:-1])
