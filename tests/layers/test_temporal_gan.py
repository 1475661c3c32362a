"""Discriminator: the published names, spectral norm, and what it looks at."""

import pytest
import torch

from b2scvr.layers.temporal_gan import TemporalPatchDiscriminator


def test_published_names_and_shapes():
    with torch.device("meta"):
        state = TemporalPatchDiscriminator().state_dict()
    normed = {f"conv.{i}.{name}" for i in range(0, 10, 2) for name in ("weight_orig", "weight_u", "weight_v")}
    assert set(state) == normed | {"conv.10.weight", "conv.10.bias"}
    assert state["conv.0.weight_orig"].shape == (32, 3, 3, 5, 5)
    assert state["conv.8.weight_orig"].shape == (128, 128, 3, 5, 5)


def test_spectral_norm_is_one():
    torch.manual_seed(0)
    network = TemporalPatchDiscriminator(widths=(4, 4))
    for _ in range(50):  # a step of power iteration a pass
        network(torch.rand(1, 2, 3, 16, 16))
    weight = network.conv[0].weight.flatten(1)
    torch.testing.assert_close(torch.linalg.matrix_norm(weight, 2), torch.ones(()), atol=1e-3, rtol=0)


def test_scores_of_patches_see_their_neighbourhood_in_time_and_space():
    torch.manual_seed(0)
    network = TemporalPatchDiscriminator(widths=(4, 4)).eval()
    video = torch.rand(1, 8, 3, 64, 64)
    changed = video.clone()
    changed[0, 0, :, :4, :4] += 1
    scores = network(video)
    assert scores.shape[:3] == (1, 8, 4)
    difference = (network(changed) - scores).abs().sum(2)[0]
    assert difference[0, 0, 0] > 0
    assert difference[3:].max() == 0  # two layers of three pictures reach two pictures
    assert difference[..., 8:].max() == 0


def test_gradients_and_nonsense():
    network = TemporalPatchDiscriminator(widths=(4, 4, 4))
    network(torch.rand(2, 3, 3, 32, 32)).mean().backward()
    assert all(p.grad is not None for p in network.parameters())
    with pytest.raises(ValueError, match="at least 2 layers"):
        TemporalPatchDiscriminator(widths=(4,))
