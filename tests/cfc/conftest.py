"""A very small recovery network and inputs for it."""

import pytest
import torch

from b2scvr.cfc import RecoveryNetwork
from b2scvr.ops.evidence import CHANNELS

SMALL = dict(
    num_candidates=3,
    encoder=dict(stem=(4, 4, 8, 8), tail=((8, 1), (8, 2))),
    trunk_channels=(4, 8),
    augmentation=dict(dims=(8, 8), reductions=(2, 2), heads=2),
    completion=dict(depths=(2,), heads=2, window=4),
    embedding_dim=8,
    embedding_size=16,
    experts=dict(num_experts=2, blocks=1, depth=2, num_tokens=4),
    propagation=dict(kernel_size=1, groups=4, depth=1, reach=1),
    transformer=dict(dim=8, depth=1, heads=2, window=(2, 3), expand=(1, 1), focal_window=(3, 3), ffn_channels=2),
    skip_channels=8,
)


@pytest.fixture
def build():
    """Build the small network, some arguments changed."""

    def make(**changes):
        torch.manual_seed(0)
        return RecoveryNetwork(**{**SMALL, **changes})

    return make


@pytest.fixture
def inputs():
    """Make inputs of the network."""

    def make(batch=1, size=(36, 50), pictures=4, current=2, candidates=3):
        generator = torch.Generator().manual_seed(1)

        def rand(*shape):
            return torch.rand(*shape, generator=generator)

        height, width = size
        mask = torch.zeros(batch, 1, height, width)
        mask[..., height // 3 :, :] = 1
        motion = 4 * rand(batch, pictures, 2, height, width) - 2
        motion[:, current] = 0
        return dict(
            window=rand(batch, pictures, 3, height, width),
            current=current,
            candidates=rand(batch, candidates, 3, height, width),
            candidate_valid=rand(batch, candidates, height, width),
            mask=mask,
            motion=motion,
            distance=torch.arange(pictures).float().expand(batch, -1) - current,
            evidence=rand(batch, len(CHANNELS), -(-height // 16), -(-width // 16)),
        )

    return make
