"""A very small recovery network and inputs for it."""

import pytest
import torch

from b2scvr.cfc import RecoveryGenerator, RecoveryNetwork
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

SMALL_GENERATOR = dict(
    encoder=dict(stem=(4, 4, 8, 8), tail=((8, 1), (8, 2))),
    trunk=dict(
        embed_dim=4, stages=(1, 1, 1, 1), window_spec=(4, 2, 2, 2), global_att_blocks=(), background_size=(2, 2)
    ),
    augmentation=dict(dims=(8, 8, 8, 8), reductions=(2, 2, 2, 2), heads=2),
    completion=dict(depths=(2,), heads=2, window=5, mlp_ratio=2.0),
    embedder=dict(image_size=16, patch_size=8, width=8, layers=1, heads=2, dim=8),
    experts=dict(blocks=1, depth=2, num_tokens=4),
    flow=dict(widths=(4,), levels=2),
    propagation=dict(groups=4, depth=1),
    transformer=dict(dim=8, depth=1, heads=2, window=(2, 3), expand=(1, 1), focal_window=(3, 3), ffn_channels=2),
    decoder=dict(width=4),
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


@pytest.fixture
def generator():
    """Build a very small generator, some arguments changed."""

    def make(preset="corrected", **changes):
        torch.manual_seed(0)
        return RecoveryGenerator(preset, **{**SMALL_GENERATOR, **changes}).eval()

    return make


@pytest.fixture
def scene():
    """Make a window: pictures and a mask on the second quarter of its rows, in the local pictures only."""

    def make(batch=1, count=4, local=3, size=(30, 50)):
        generator = torch.Generator().manual_seed(1)
        mask = torch.zeros(batch, count, 1, *size)
        mask[:, :local, :, size[0] // 4 : size[0] // 2] = 1
        return torch.rand(batch, count, 3, *size, generator=generator), mask

    return make
