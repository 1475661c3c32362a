"""The frame encoder: group-wise concatenation, published sizes, stride."""

import pytest
import torch

from b2scvr.layers.frame_encoder import FrameEncoder, concatenate_groups


def test_concatenation_happens_inside_each_group():
    first, second = torch.arange(4.0).view(1, 4, 1, 1), torch.arange(10.0, 12.0).view(1, 2, 1, 1)
    assert concatenate_groups(first, second, 1).flatten().tolist() == [0, 1, 2, 3, 10, 11]
    assert concatenate_groups(first, second, 2).flatten().tolist() == [0, 1, 10, 2, 3, 11]


def test_published_weights_fit():
    with torch.device("meta"):
        encoder = FrameEncoder()
    shapes = [tuple(layer.weight.shape[:2]) for layer in (*encoder.stem, *encoder.tail)]
    # (out, in / groups) of E2FGVI's nine layers
    assert shapes == [
        (64, 3), (64, 64), (128, 64), (256, 128), (384, 256), (512, 320), (384, 192), (256, 80), (128, 512),
    ]  # fmt: skip


def test_a_quarter_of_the_size():
    encoder = FrameEncoder(3, (4, 4, 8, 8), ((8, 1), (12, 2), (6, 1)))
    assert encoder(torch.rand(2, 3, 16, 24)).shape == (2, encoder.out_channels, 4, 6)
    assert encoder.out_channels == 6


def test_a_stem_of_another_length_is_refused():
    with pytest.raises(ValueError, match="4 stem widths"):
        FrameEncoder(3, (4, 4, 8))
