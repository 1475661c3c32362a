"""Overlapping patches of feature maps: unfold, and fold with overlap normalisation (Liu et al., FuseFormer, 2021)."""

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

    def unfold(self, x: Tensor) -> Tensor:
        """[B, C, h, w] -> patches [B, L, C * kernel * kernel] in raster order."""
        return F.unfold(x, self.kernel, padding=self.padding, stride=self.stride).transpose(1, 2)

    def fold(self, patches: Tensor, size: tuple[int, int]) -> Tensor:
        """Sum patches [B, L, C * kernel * kernel] into a map [B, C, h, w]."""
        return F.fold(patches.transpose(1, 2), size, self.kernel, padding=self.padding, stride=self.stride)

    def fold_mean(self, patches: Tensor, size: tuple[int, int]) -> Tensor:
        """As `fold`, but the mean of the patches that cover a cell, so that it undoes `unfold`."""
        return self.fold(patches, size) / self.coverage(size, patches)

    def coverage(self, size: tuple[int, int], like: Tensor) -> Tensor:
        """Return [1, 1, h, w], how many patches cover each cell; 1 where none does (the rim that a stride leaves over)."""
        rows, columns = self.tokens(size)
        ones = torch.ones(1, rows * columns, self.kernel**2, device=like.device, dtype=like.dtype)
        return self.fold(ones, size).clamp(min=1)
