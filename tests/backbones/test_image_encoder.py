"""The small image embedder: tokens of a fixed grid, whatever the picture."""

from __future__ import annotations

import pytest
import torch

from b2scvr.backbones.base import ImageEmbedder
from b2scvr.backbones.image_encoder import ConvEmbedder


@pytest.mark.parametrize("size", [(23, 40), (4, 7), (1, 1)])
def test_tokens_and_embedding_of_any_size(size):
    embedder = ConvEmbedder(6, 16, grid=(2, 3))
    assert isinstance(embedder, ImageEmbedder)
    tokens, embedding = embedder(torch.randn(2, 6, *size))
    assert tokens.shape == (2, 6, 16) and embedding.shape == (2, 16)


def test_tokens_are_in_raster_order():
    """What changes at the upper right changes the second token and not the third."""
    embedder = ConvEmbedder(1, 8, widths=(4,), grid=(2, 2))
    maps = torch.zeros(1, 1, 32, 32)
    other = maps.clone()
    other[..., 2:8, 24:30] = 1
    with torch.no_grad():
        change = (embedder(other)[0] - embedder(maps)[0]).abs().sum(-1)[0]
    assert (change > 1e-6).tolist() == [False, True, False, False]


@pytest.mark.parametrize("whole", [True, False])
def test_every_weight_is_trained(whole):
    embedder = ConvEmbedder(3, 8, global_embedding=whole)
    tokens, embedding = embedder(torch.randn(1, 3, 32, 48))
    (embedding.square().sum() if whole else tokens.square().sum() + tokens[:, :3].sum()).backward()
    assert all(p.grad is not None for p in embedder.parameters())
