"""Attention to an adaptive token dictionary (Zhang et al., Transcending the Limit of Local Window, CVPR 2024).

B2SCVR uses it twice: the neck of its detector, with prompts as the dictionary, and the experts of its recovery network,
with a learned dictionary. Legend: B batch, N = H * W positions, M tokens, C = dim.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from b2scvr.ops.padding import pad_to_multiple
from b2scvr.ops.windows import merge_windows, partition_windows, relative_position_index, shifted_window_mask

INITIAL_SCALE = 0.5  # of ln(M); the learned sharpness of the dictionary attention stays in [0, 1] * ln(M)
INITIAL_CATEGORY_SCALE = math.log(10.0)
MAX_CATEGORY_SCALE = math.log(100.0)
TOKEN_STD = (
    1.0  # of a learned dictionary at the start; much smaller, and the keys' bias would make all tokens look alike
)


class TokenDictionaryAttention(nn.Module):
    """Each position looks its content up in the dictionary (the paper's token dictionary cross-attention)."""

    def __init__(self, dim: int, num_tokens: int, reduced_dim: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((num_tokens,), INITIAL_SCALE))
        self.wq = nn.Linear(dim, reduced_dim)
        self.wk = nn.Linear(dim, reduced_dim)
        self.wv = nn.Linear(dim, dim)

    def forward(self, x: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """x: [B, N, C]; tokens: [B, M, C]. Returns what was found, as x, and the similarity [B, N, M], 1 in sum over M."""
        query = F.normalize(self.wq(x), dim=-1)
        key = F.normalize(self.wk(tokens), dim=-1)
        sharpness = 1 + self.scale.clamp(0, 1) * math.log(len(self.scale))
        similarity = (query @ key.transpose(1, 2) * sharpness).softmax(-1)
        return similarity @ self.wv(tokens), similarity


class TokenRefinement(nn.Module):
    """The dictionary takes up the picture's own content: a convex mix of old tokens and averaged positions."""

    def __init__(self, num_tokens: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_tokens))
        self.bias = nn.Parameter(torch.zeros(num_tokens))
        self.sigma = nn.Parameter(torch.zeros(num_tokens, 1))

    def forward(self, tokens: Tensor, x: Tensor, similarity: Tensor) -> Tensor:
        """tokens: [B, M, C]; x: [B, N, C]; similarity: [B, N, M]. Returns as tokens."""
        # Layer norm over the positions of each token is an instance norm that a single position cannot break.
        logits = F.layer_norm(similarity.transpose(1, 2), (x.shape[1],))
        share = (logits * self.weight[:, None] + self.bias[:, None]).softmax(-1)
        keep = self.sigma.sigmoid()
        return keep * tokens + (1 - keep) * (share @ x)


class CategoryAttention(nn.Module):
    """Self-attention among positions that chose the same token, wherever they are (the paper's AC-MSA).

    fused=False computes it step by step and rounds as the published network does: where two tokens are all but equally
    similar, rounding in an earlier layer decides which group a position joins.
    """

    def __init__(self, dim: int, num_heads: int, category_size: int, fused: bool = True) -> None:
        super().__init__()
        self.fused = fused
        self.num_heads = num_heads
        self.category_size = category_size
        self.logit_scale = nn.Parameter(torch.full((1, 1), INITIAL_CATEGORY_SCALE))
        self.proj = nn.Linear(dim, dim)

    def forward(self, qkv: Tensor, similarity: Tensor) -> Tensor:
        """qkv: [B, N, 3 * C]; similarity: [B, N, M]. Returns [B, N, C]."""
        batch, length, width = qkv.shape
        group = min(self.category_size, length)
        # Ties are the rule, so only a stable sort gives the same groups everywhere.
        order = similarity.argmax(-1).sort(dim=1, stable=True).indices[..., None]
        ordered = qkv.gather(1, order.expand(-1, -1, width))
        if missing := -length % group:
            ordered = torch.cat((ordered, ordered.flip(1)[:, :missing]), 1)
        heads = ordered.reshape(-1, group, 3, self.num_heads, width // (3 * self.num_heads)).permute(2, 0, 3, 1, 4)
        query, key, value = heads.unbind(0)
        sharpness = self.logit_scale.clamp(max=MAX_CATEGORY_SCALE).exp()
        if self.fused:
            out = F.scaled_dot_product_attention(query * sharpness, key, value, scale=1.0)
        else:
            out = (query @ key.transpose(-2, -1) * sharpness).softmax(-1) @ value
        out = out.transpose(1, 2).reshape(batch, -1, width // 3)[:, :length]
        back = torch.zeros_like(out).scatter(1, order.expand(-1, -1, width // 3), out)
        return self.proj(back)


class ShiftedWindowAttention(nn.Module):
    """Self-attention in (shifted) square windows with a learned bias for each relative position (Swin)."""

    relative_position_index: Tensor

    def __init__(self, dim: int, num_heads: int, window: int, shifted: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.window = (window, window)
        self.shift = window // 2 if shifted else 0
        self.relative_position_bias_table = nn.Parameter(
            torch.empty((2 * window - 1) ** 2, num_heads).normal_(std=0.02)
        )
        self.register_buffer("relative_position_index", relative_position_index(self.window), persistent=False)
        self.proj = nn.Linear(dim, dim)

    def forward(self, qkv: Tensor, size: tuple[int, int]) -> Tensor:
        """qkv: [B, N, 3 * C], positions of the grid (H, W) = size, any size (mirrored inside). Returns [B, N, C]."""
        batch, length, width = qkv.shape
        grid = qkv.transpose(1, 2).reshape(batch, width, *size)
        grid = pad_to_multiple(grid, self.window, "mirror").permute(0, 2, 3, 1)
        padded = (grid.shape[1], grid.shape[2])
        # An axis with one window has nothing to shift into.
        shift = (
            self.shift if padded[0] > self.window[0] else 0,
            self.shift if padded[1] > self.window[1] else 0,
        )
        windows = partition_windows(grid.roll((-shift[0], -shift[1]), (1, 2)), self.window)
        _, count, area, _ = windows.shape
        heads = windows.reshape(batch * count, area, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = heads.unbind(0)
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)[None]
        if any(shift):
            apart = ~shifted_window_mask(padded, self.window, shift).to(qkv.device)
            bias = bias.masked_fill(apart[:, None], float("-inf")).repeat(batch, 1, 1, 1)
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype))
        out = out.transpose(1, 2).reshape(batch, count, area, width // 3)
        out = merge_windows(out, self.window, padded).roll(shift, (1, 2))[:, : size[0], : size[1]]
        return self.proj(out.reshape(batch, length, width // 3))


class ConvFeedForward(nn.Module):
    """Linear, GELU, plus a depthwise convolution of itself, linear."""

    def __init__(self, dim: int, hidden: int, kernel: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.dwconv = nn.Conv2d(hidden, hidden, kernel, padding=kernel // 2, groups=hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """[B, N, C] of the grid (H, W) = size -> the same."""
        hidden = F.gelu(self.fc1(x)).unflatten(1, size)
        # Strides as those of channels_last, a batch of one too: the convolution copies nothing.
        near = self.dwconv(hidden.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.fc2((hidden + F.gelu(near)).flatten(1, 2))


class TokenDictionaryLayer(nn.Module):
    """x + dictionary (+ category + window) attention of norm(x), then + feed-forward; then the tokens are refined."""

    def __init__(
        self,
        dim: int,
        num_tokens: int,
        reduced_dim: int,
        mlp_ratio: float,
        conv_kernel: int,
        num_heads: int,
        window: int | None,
        category_size: int | None,
        shifted: bool,
        refine: bool,
        fused: bool = True,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn_atd = TokenDictionaryAttention(dim, num_tokens, reduced_dim)
        self.wqkv = nn.Linear(dim, 3 * dim) if window or category_size else None
        self.attn_win = ShiftedWindowAttention(dim, num_heads, window, shifted) if window else None
        self.attn_aca = CategoryAttention(dim, num_heads, category_size, fused) if category_size else None
        self.norm2 = nn.LayerNorm(dim)
        self.convffn = ConvFeedForward(dim, int(dim * mlp_ratio), conv_kernel)
        self.refinement = TokenRefinement(num_tokens) if refine else None

    def forward(self, x: Tensor, tokens: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """x: [B, N, C] of the grid (H, W) = size; tokens: [B, M, C]. Returns both anew."""
        normed = self.norm1(x)
        found, similarity = self.attn_atd(normed, tokens)
        x = x + found
        if self.wqkv is not None:
            qkv = self.wqkv(normed)
            if self.attn_win is not None:
                x = x + self.attn_win(qkv, size)
            if self.attn_aca is not None:
                x = x + self.attn_aca(qkv, similarity)
        x = x + self.convffn(self.norm2(x), size)
        if self.refinement is not None:
            tokens = self.refinement(tokens, x, similarity)
        return x, tokens


class TokenDictionaryBlock(nn.Module):
    """Layers that share one dictionary, refined from layer to layer, then a 3x3 convolution, plus the input.

        x ──► layer ──► layer ──► ... ──► conv 3x3 ──(+ x)──►
               ▲   tokens ▲ refined

    `window` and `category_size` (positions in a group) add self-attention in windows and among positions of one
    category; None leaves it out, as in the experts of B2SCVR. fused: see `CategoryAttention`. Raises ValueError for sizes
    that do not fit together.
    """

    def __init__(
        self,
        dim: int,
        num_tokens: int,
        depth: int,
        reduced_dim: int = 4,
        mlp_ratio: float = 2.0,
        conv_kernel: int = 5,
        num_heads: int = 2,
        window: int | None = None,
        category_size: int | None = None,
        learned_dictionary: bool = False,
        fused: bool = True,
    ) -> None:
        super().__init__()
        if depth < 1 or num_tokens < 1:
            raise ValueError(f"depth and num_tokens must be positive, got {depth} and {num_tokens}")
        if (window or category_size) and dim % num_heads:
            raise ValueError(f"dim {dim} does not split into {num_heads} heads")
        if conv_kernel % 2 == 0:
            raise ValueError(f"conv_kernel must be odd, got {conv_kernel}")
        self.num_tokens = num_tokens
        self.dictionary: nn.Parameter | None = None
        if learned_dictionary:
            self.dictionary = nn.Parameter(torch.empty(num_tokens, dim).normal_(std=TOKEN_STD))
        self.layers = nn.ModuleList(
            TokenDictionaryLayer(
                dim,
                num_tokens,
                reduced_dim,
                mlp_ratio,
                conv_kernel,
                num_heads,
                window,
                category_size,
                shifted=i % 2 == 1,
                # Refined tokens of the last layer would be read by nobody.
                refine=i < depth - 1,
                fused=fused,
            )
            for i in range(depth)
        )
        self.conv = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x: Tensor, tokens: Tensor | None = None) -> Tensor:
        """x: [B, C, H, W]; tokens: [B, M, C], or None with a learned dictionary. Returns as x.

        Raises ValueError when tokens are missing, superfluous or of another number than the block was built for.
        """
        size = (x.shape[2], x.shape[3])
        y = x.flatten(2).transpose(1, 2)
        tokens = self._dictionary(tokens, len(x))
        for layer in self.layers:
            y, tokens = layer(y, tokens, size)
        return x + self.conv(y.transpose(1, 2).reshape(x.shape))

    def _dictionary(self, tokens: Tensor | None, batch: int) -> Tensor:
        if self.dictionary is not None:
            if tokens is not None:
                raise ValueError("a block with a learned dictionary takes no tokens")
            return self.dictionary.expand(batch, -1, -1)
        if tokens is None:
            raise ValueError("a block without a learned dictionary needs tokens")
        if tokens.shape[1] != self.num_tokens:
            raise ValueError(f"expected {self.num_tokens} tokens, got {tokens.shape[1]}")
        return tokens
