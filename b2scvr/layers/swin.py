"""Window attention over feature maps (Liu et al., Swin Transformer, 2021; Liang et al., SwinIR, 2021)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from b2scvr.ops.padding import pad_to_multiple
from b2scvr.ops.windows import merge_windows, partition_windows, relative_position_index, shifted_window_mask


class WindowAttention(nn.Module):
    """Multi-head self-attention inside windows, with a learned bias for each relative position."""

    relative_position_index: Tensor

    def __init__(self, dim: int, heads: int, window: tuple[int, int]) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim {dim} does not split into {heads} heads")
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(
            torch.empty((2 * window[0] - 1) * (2 * window[1] - 1), heads).normal_(std=0.02)
        )
        self.register_buffer("relative_position_index", relative_position_index(window), persistent=False)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, neighbours: Tensor | None = None) -> Tensor:
        """x: [B, windows, L, dim]; neighbours: bool [windows, L, L], True where a token may look. Returns as x."""
        batch, count, length, dim = x.shape
        qkv = self.qkv(x).reshape(batch * count, length, 3, self.heads, dim // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)[None]
        if neighbours is not None:
            blocked = torch.zeros_like(neighbours, dtype=x.dtype).masked_fill(~neighbours, float("-inf"))
            bias = (bias + blocked[:, None]).repeat(batch, 1, 1, 1)
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype))
        return self.proj(out.transpose(1, 2).reshape(batch, count, length, dim))


class SwinBlock(nn.Module):
    """x + attention in (shifted) windows, then + MLP, both behind a layer norm.

    drop_path: share of pictures that skip each of the two in training (stochastic depth).
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        window: tuple[int, int],
        shifted: bool,
        mlp_ratio: float = 4.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.window = window
        self.shift = (window[0] // 2, window[1] // 2) if shifted else (0, 0)
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, heads, window)
        self.norm2 = nn.LayerNorm(dim)
        hidden = int(dim * mlp_ratio)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))
        self.drop_path = StochasticDepth(drop_path, "row")

    def forward(self, x: Tensor) -> Tensor:
        """[B, h, w, dim] -> the same; h and w multiples of the window."""
        size = (x.shape[1], x.shape[2])
        # An axis with one window has nothing to shift into.
        shift = tuple(0 if side <= step else by for side, step, by in zip(size, self.window, self.shift, strict=True))
        y = self.norm1(x)
        neighbours = None
        if any(shift):
            y = y.roll((-shift[0], -shift[1]), (1, 2))
            neighbours = shifted_window_mask(size, self.window, (shift[0], shift[1])).to(x.device)
        y = merge_windows(self.attn(partition_windows(y, self.window), neighbours), self.window, size)
        x = x + self.drop_path(y.roll(shift, (1, 2)) if any(shift) else y)
        return x + self.drop_path(self.mlp(self.norm2(x)))


class ResidualSwinGroup(nn.Module):
    """Swin blocks, every second one shifted, then a 3x3 convolution, plus the input (SwinIR's RSTB).

    drop_path: of the last block; it grows linearly from 0 at the first.
    """

    def __init__(
        self,
        dim: int,
        depth: int,
        heads: int,
        window: tuple[int, int],
        mlp_ratio: float = 4.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.window = window
        self.blocks = nn.ModuleList(
            SwinBlock(dim, heads, window, i % 2 == 1, mlp_ratio, drop_path * i / max(depth - 1, 1))
            for i in range(depth)
        )
        self.conv = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, dim, h, w] -> the same; any h and w (zero padding inside)."""
        height, width = x.shape[-2:]
        tokens = pad_to_multiple(x, self.window, "zeros").permute(0, 2, 3, 1)
        for block in self.blocks:
            tokens = block(tokens)
        return x + self.conv(tokens.permute(0, 3, 1, 2)[..., :height, :width])
