"""Overlapping patches of feature maps as tokens, and tokens as patches that are summed up (Liu et al., FuseFormer, 2021)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class PatchGrid:
    """How a map is cut into square overlapping patches: side, step and zero padding, in cells of the map."""

    kernel: int = 7
    stride: int = 3
    padding: int = 3

    def tokens(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the rows and columns of patches of a map of `size` (h, w); ValueError when not one patch fits."""
        rows, columns = ((side + 2 * self.padding - self.kernel) // self.stride + 1 for side in size)
        if rows < 1 or columns < 1:
            raise ValueError(f"a map of {size[0]}x{size[1]} holds no patch of {self.kernel}")
        return rows, columns

    def split(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return a linear layer of the patches of `x`, as one convolution, which keeps no copy of the patches.

        x: [B, C, h, w]; weight: [dim, C * kernel * kernel]; bias: [dim]. Returns [B, rows, columns, dim].
        """
        kernel = weight.reshape(len(weight), -1, self.kernel, self.kernel)
        return F.conv2d(x, kernel, bias, self.stride, self.padding).permute(0, 2, 3, 1)

    def compose(self, tokens: Tensor, weight: Tensor, bias: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the patches that a linear layer makes of tokens, summed up: one transposed convolution.

        tokens: [B, rows, columns, dim]; weight: [C * kernel * kernel, dim]; bias: [C * kernel * kernel].
        Returns [B, C, h, w] with (h, w) = size.
        """
        kernel = weight.t().reshape(weight.shape[1], -1, self.kernel, self.kernel)
        # The bias has a value for each place in a patch: it is a patch that every token adds.
        patch = bias.reshape(1, -1, self.kernel, self.kernel)
        every = torch.ones_like(tokens[:1, :, :, :1])
        return self._transposed(tokens, kernel, size) + self._transposed(every, patch, size)

    def coverage(self, size: tuple[int, int], like: Tensor) -> Tensor:
        """Return [1, 1, h, w], how many patches cover each cell; 1 where none does (the rim that a stride leaves over)."""
        every = like.new_ones(1, *self.tokens(size), 1)
        return self._transposed(every, like.new_ones(1, 1, self.kernel, self.kernel), size).clamp(min=1)

    def _transposed(self, tokens: Tensor, kernel: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the sum [B, C, h, w] of one patch a token: kernel, weighted; tokens: [B, rows, columns, dim]."""
        rim = [(side + 2 * self.padding - self.kernel) % self.stride for side in size]
        x = tokens.permute(0, 3, 1, 2)
        return F.conv_transpose2d(x, kernel, None, self.stride, self.padding, (rim[0], rim[1]))
