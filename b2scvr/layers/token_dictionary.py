"""Adaptive token dictionary block (Zhang et al., Transcending the Limit of Local Window: ATD, CVPR 2024, section 3).

A small dictionary of tokens stands for the whole picture: every position looks at the dictionary instead of at all
other positions, and between two layers the dictionary is refined by what the picture holds. B2SCVR (2025) feeds the
dictionary with prompt tokens (detection) or learns it (residual experts of recovery).

Legend: B batch, L = H * W positions in raster order, M tokens of the dictionary, C channels.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from b2scvr.ops.padding import pad_to_multiple
from b2scvr.ops.windows import merge_windows, partition_windows, relative_position_index, shifted_window_mask

MAX_LOGIT_SCALE = math.log(100.0)  # Liu et al., Swin Transformer V2, 2022
EPSILON = 1e-5


class DictionaryAttention(nn.Module):
    """ATD-CA, equations 3 and 4: positions attend to the tokens of the dictionary by cosine similarity.

    A = softmax over tokens of cos(x Wq, D Wk) * (1 + clamp(scale, 0, 1) * ln M),  out = A (D Wv)
    """

    def __init__(self, dim: int, num_tokens: int, reduced_dim: int) -> None:
        super().__init__()
        self.wq = nn.Linear(dim, reduced_dim)
        self.wk = nn.Linear(dim, reduced_dim)
        self.wv = nn.Linear(dim, dim)
        self.scale = nn.Parameter(torch.full((num_tokens,), 0.5))

    def forward(self, x: Tensor, dictionary: Tensor) -> tuple[Tensor, Tensor]:
        """x: [B, L, C]; dictionary: [B, M, C]. Returns [B, L, C] and the attention A [B, L, M], rows of sum one."""
        query, key = F.normalize(self.wq(x), dim=-1), F.normalize(self.wk(dictionary), dim=-1)
        sharpness = 1 + self.scale.clamp(0, 1) * math.log(dictionary.shape[1])
        attention = (query @ key.transpose(1, 2) * sharpness).softmax(-1)
        return attention @ self.wv(dictionary), attention


class CategoryAttention(nn.Module):
    """AC-MSA, equations 6 to 8: self-attention inside groups of positions that chose the same token.

    Positions are sorted by the token they attend to most. The sort is stable, so ties keep their raster order and the
    groups are the same on every device.
    """

    def __init__(self, dim: int, num_heads: int, category_size: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.category_size = category_size
        self.logit_scale = nn.Parameter(torch.full((1, 1), math.log(10.0)))
        self.proj = nn.Linear(dim, dim)

    def forward(self, qkv: Tensor, attention: Tensor) -> Tensor:
        """qkv: [B, L, 3C]; attention: [B, L, M]. Returns [B, L, C]."""
        batch, length, width = qkv.shape
        size = min(self.category_size, length)
        order = attention.argmax(-1).sort(dim=1, stable=True).indices
        ordered = qkv.gather(1, order[:, :, None].expand(-1, -1, width))
        missing = -length % size
        ordered = torch.cat((ordered, ordered[:, length - missing :].flip(1)), 1)
        groups = ordered.reshape(-1, size, 3, self.num_heads, width // 3 // self.num_heads).permute(2, 0, 3, 1, 4)
        scale = self.logit_scale.clamp(max=MAX_LOGIT_SCALE).exp()
        out = F.scaled_dot_product_attention(groups[0] * scale, groups[1], groups[2], scale=1.0)
        out = out.transpose(1, 2).reshape(batch, length + missing, width // 3)[:, :length]
        return self.proj(out.gather(1, order.argsort(1)[:, :, None].expand_as(out)))


class SharedWindowAttention(nn.Module):
    """(S)W-MSA with a relative position bias on projections that the category attention uses too."""

    relative_position_index: Tensor

    def __init__(self, dim: int, num_heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.window = (window, window)
        self.shift = shift
        self.relative_position_bias_table = nn.Parameter(
            torch.empty((2 * window - 1) ** 2, num_heads).normal_(std=0.02)
        )
        self.register_buffer("relative_position_index", relative_position_index(self.window), persistent=False)
        self.proj = nn.Linear(dim, dim)

    def forward(self, qkv: Tensor, size: tuple[int, int]) -> Tensor:
        """qkv: [B, L, 3C] of a grid of `size` (H, W), multiples of the window. Returns [B, L, C]."""
        batch, length, width = qkv.shape
        shift = (self.shift, self.shift)
        grid = qkv.reshape(batch, *size, width)
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)[None]
        if self.shift:
            grid = grid.roll((-self.shift, -self.shift), (1, 2))
            neighbours = shifted_window_mask(size, self.window, shift).to(qkv.device)
            blocked = torch.zeros_like(neighbours, dtype=qkv.dtype).masked_fill(~neighbours, float("-inf"))
            bias = (bias + blocked[:, None]).repeat(batch, 1, 1, 1)
        windows = partition_windows(grid, self.window)
        count, area = windows.shape[1:3]
        heads = windows.reshape(batch * count, area, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(heads[0], heads[1], heads[2], attn_mask=bias.to(heads.dtype))
        out = merge_windows(out.transpose(1, 2).reshape(batch, count, area, -1), self.window, size)
        if self.shift:
            out = out.roll(shift, (1, 2))
        return self.proj(out.reshape(batch, length, width // 3))


class ConvFeedForward(nn.Module):
    """Linear, GELU, plus a depthwise convolution of the hidden map behind a GELU, linear."""

    def __init__(self, dim: int, hidden: int, kernel_size: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.dwconv = nn.Conv2d(hidden, hidden, kernel_size, padding=kernel_size // 2, groups=hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """x: [B, L, C] of a grid of `size` (H, W). Returns as x."""
        hidden = F.gelu(self.fc1(x))
        around = F.gelu(self.dwconv(hidden.transpose(1, 2).unflatten(2, size)))
        return self.fc2(hidden + around.flatten(2).transpose(1, 2))


class TokenRefinement(nn.Module):
    """Adaptive refinement, equation 5: each token moves towards the mean of the positions that attend to it.

        S = softmax over positions of norm(A^T),  D <- s D + (1 - s) S x,  s = sigmoid(sigma)

    norm: each token's attention over the positions, mean 0, variance 1, then a factor. An offset would cancel in the
    softmax, so there is none.
    """

    def __init__(self, num_tokens: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_tokens, 1))
        self.sigma = nn.Parameter(torch.zeros(num_tokens, 1))

    def forward(self, dictionary: Tensor, x: Tensor, attention: Tensor) -> Tensor:
        """dictionary: [B, M, C]; x: [B, L, C]; attention: [B, L, M]. Returns the refined dictionary."""
        share = attention.transpose(1, 2)
        share = share - share.mean(-1, keepdim=True)
        share = share / (share.square().mean(-1, keepdim=True) + EPSILON).sqrt() * self.weight
        keep = torch.sigmoid(self.sigma)
        return keep * dictionary + (1 - keep) * (share.softmax(-1) @ x)


class TokenDictionaryLayer(nn.Module):
    """x + (window + dictionary + category attention)(norm x), then + ConvFFN(norm x), and the refined dictionary."""

    def __init__(
        self,
        dim: int,
        num_tokens: int,
        reduced_dim: int,
        mlp_ratio: float,
        conv_kernel: int,
        num_heads: int,
        window: int | None,
        shift: int,
        category_size: int | None,
        refine: bool,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn_dictionary = DictionaryAttention(dim, num_tokens, reduced_dim)
        self.attn_window = SharedWindowAttention(dim, num_heads, window, shift) if window else None
        self.attn_category = CategoryAttention(dim, num_heads, category_size) if category_size else None
        self.qkv = nn.Linear(dim, 3 * dim) if window or category_size else None
        self.norm2 = nn.LayerNorm(dim)
        self.ffn = ConvFeedForward(dim, int(dim * mlp_ratio), conv_kernel)
        # The last layer's dictionary would be read by nobody.
        self.refinement = TokenRefinement(num_tokens) if refine else None

    def forward(self, x: Tensor, dictionary: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """x: [B, L, C] of a grid of `size`; dictionary: [B, M, C]. Returns both, updated."""
        normed = self.norm1(x)
        out, attention = self.attn_dictionary(normed, dictionary)
        if self.qkv is not None:
            qkv = self.qkv(normed)
            if self.attn_window is not None:
                out = out + self.attn_window(qkv, size)
            if self.attn_category is not None:
                out = out + self.attn_category(qkv, attention)
        x = x + out
        x = x + self.ffn(self.norm2(x), size)
        if self.refinement is not None:
            dictionary = self.refinement(dictionary, x, attention)
        return x, dictionary


class TokenDictionaryBlock(nn.Module):
    """ATDB: `depth` layers that start from one dictionary and refine it, a 3x3 convolution, plus the input.

    num_tokens: M; learned_dictionary: the block owns its dictionary instead of being given one; window: side of the
    attention windows, every second layer's shifted by half, or None; category_size: positions in a group of the
    category attention, or None. num_heads serves the last two. Published: window 8, category_size 128, 2 heads.
    Raises ValueError for sizes that do not fit.
    """

    def __init__(
        self,
        dim: int,
        num_tokens: int,
        depth: int = 3,
        reduced_dim: int = 4,
        mlp_ratio: float = 2.0,
        conv_kernel: int = 5,
        num_heads: int = 2,
        window: int | None = None,
        category_size: int | None = None,
        learned_dictionary: bool = True,
    ) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f"dim {dim} does not split into {num_heads} heads")
        if depth < 1 or num_tokens < 1 or conv_kernel % 2 == 0:
            raise ValueError(
                f"needs depth >= 1, num_tokens >= 1, odd conv_kernel; got {depth}, {num_tokens}, {conv_kernel}"
            )
        self.window = window
        self.num_tokens = num_tokens
        self.dictionary = nn.Parameter(torch.randn(num_tokens, dim)) if learned_dictionary else None
        self.layers = nn.ModuleList(
            TokenDictionaryLayer(
                dim,
                num_tokens,
                reduced_dim,
                mlp_ratio,
                conv_kernel,
                num_heads,
                window,
                shift=(window or 0) // 2 if i % 2 else 0,
                category_size=category_size,
                refine=i < depth - 1,
            )
            for i in range(depth)
        )
        self.conv = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x: Tensor, tokens: Tensor | None = None) -> Tensor:
        """x: [B, C, H, W], any size; tokens: [B, M, C], given exactly when the block has no dictionary of its own.

        Returns [B, C, H, W]. Raises ValueError for tokens that are missing, too many or of another number.
        """
        if (tokens is None) == (self.dictionary is None):
            have = "no tokens" if tokens is None else "tokens and a learned dictionary"
            raise ValueError(f"a token dictionary block needs one dictionary, got {have}")
        dictionary = self.dictionary.expand(len(x), -1, -1) if self.dictionary is not None else tokens
        if dictionary.shape[1] != self.num_tokens:  # type: ignore[union-attr]
            raise ValueError(f"expected {self.num_tokens} tokens, got {dictionary.shape[1]}")  # type: ignore[union-attr]
        height, width = x.shape[-2:]
        padded = pad_to_multiple(x, self.window, "mirror") if self.window else x
        size = (padded.shape[-2], padded.shape[-1])
        out = padded.flatten(2).transpose(1, 2)
        for layer in self.layers:
            out, dictionary = layer(out, dictionary, size)
        return x + self.conv(out.transpose(1, 2).unflatten(2, size))[..., :height, :width]
