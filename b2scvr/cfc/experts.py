"""Mixture of residual experts (MoRE): token-dictionary experts, mixed by a gate that reads an image embedding (B2SCVR)."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from b2scvr.layers.token_dictionary import TokenDictionaryBlock

GATES = ("embedding", "linear", "none")
LEAK = 0.2


class ResidualExpert(nn.Module):
    """Blocks with a learned token dictionary each, layer norm, 3x3 convolution: a correction to the feature."""

    def __init__(
        self, dim: int, blocks: int, depth: int, num_tokens: int, reduced_dim: int, mlp_ratio: float, conv_kernel: int
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
        self.norm = nn.LayerNorm(dim)
        self.conv_after_body = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, dim, h, w] -> the same."""
        for block in self.blocks:
            x = block(x)
        return self.conv_after_body(self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))


class ChannelAttention(nn.Module):
    """One factor in (0, 1) a channel of a picture's feature, from its mean and a condition.

    Channels look at one another: softmax over channels of q_i * k_j / sqrt(dim), q from the condition, k and v from
    the mean of the feature. It stays inside one picture: what else is in the batch changes nothing.
    """

    def __init__(self, dim: int, condition_dim: int) -> None:
        super().__init__()
        self.condition = nn.Linear(condition_dim, dim)
        self.q, self.k, self.v = (nn.Linear(dim, dim) for _ in range(3))
        self.mlp = nn.Sequential(nn.Linear(dim, dim // 2), nn.LeakyReLU(LEAK), nn.Linear(dim // 2, dim))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x: [B, dim, h, w]; condition: [B, condition_dim]. Returns x times its factors."""
        mean = x.mean((2, 3))
        query = self.q(F.leaky_relu(self.condition(condition), LEAK))
        logits = query[:, :, None] * self.k(mean)[:, None, :] / math.sqrt(mean.shape[1])
        attended = (logits.softmax(-1) @ self.v(mean)[:, :, None]).squeeze(-1)
        return x * torch.sigmoid(self.mlp(attended))[:, :, None, None]


class MixtureOfResidualExperts(nn.Module):
    """x + channel attention(sum over experts of gate_k * expert_k(layer norm(x))).

    gate: "embedding" (an MLP on the image embedding of the corrupted content), "linear" (on the feature's mean; the
    paper's ablation) or "none" (equal weights). Defaults: the published sizes.
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
    ) -> None:
        super().__init__()
        if gate not in GATES:
            raise ValueError(f"gate must be one of {GATES}, got {gate!r}")
        if num_experts < 1:
            raise ValueError(f"at least one expert is needed, got {num_experts}")
        self.gate_kind = gate
        self.num_experts = num_experts
        self.norm = nn.LayerNorm(dim)
        self.experts = nn.ModuleList(
            ResidualExpert(dim, blocks, depth, num_tokens, reduced_dim, mlp_ratio, conv_kernel)
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
        self.channel_attention = ChannelAttention(dim, embedding_dim if gate == "embedding" else dim)

    def forward(self, x: Tensor, embedding: Tensor | None) -> tuple[Tensor, Tensor]:
        """x: [B, dim, h, w]; embedding: [B, embedding_dim], needed by the gate "embedding" only.

        Returns the feature, as x, and the gate's weights [B, experts], which sum to one.
        """
        condition = x.mean((2, 3))
        if self.gate_kind == "embedding":
            if embedding is None:
                raise ValueError("the gate 'embedding' needs an image embedding, got None")
            condition = self.adapter(embedding)
        if self.gate is None:
            weights = x.new_full((len(x), self.num_experts), 1 / self.num_experts)
        else:
            weights = self.gate(condition).softmax(-1)
        normed = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        mixed = torch.zeros_like(x)
        for expert, weight in zip(self.experts, weights.unbind(1), strict=True):
            mixed = mixed + weight[:, None, None, None] * expert(normed)
        return x + self.channel_attention(mixed, condition), weights


def _mlp(*widths: int) -> nn.Sequential:
    """Linear layers of `widths` with leaky ReLU between."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.LeakyReLU(LEAK)]
    return nn.Sequential(*layers[:-1])
