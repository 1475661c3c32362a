"""Resizing: averages when it shrinks, in any number type."""

from __future__ import annotations

import pytest
import torch

from b2scvr.ops.resize import resize


def test_a_fine_checkerboard_becomes_grey():
    board = (torch.arange(32)[:, None] + torch.arange(32)) % 2
    small = resize(board[None, None].float(), (4, 4))
    assert torch.allclose(small, torch.full((1, 1, 4, 4), 0.5), atol=0.02)


def test_the_same_size_changes_nothing():
    x = torch.rand(1, 2, 5, 7)
    assert torch.allclose(resize(x, (5, 7)), x, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    assert resize(torch.rand(1, 1, 8, 8).to(dtype), (3, 5)).dtype == dtype
