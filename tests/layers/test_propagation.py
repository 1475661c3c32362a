"""Deformable alignment follows the flow; propagation brings content from both sides of time."""

import pytest
import torch
import torch.nn.functional as F

from b2scvr.layers.deform_align import SecondOrderDeformableAlignment
from b2scvr.layers.propagation import BidirectionalPropagation
from b2scvr.ops.warp import AnchoredMotion, warp

CHANNELS = 4


def still_alignment(kernel: int = 3) -> SecondOrderDeformableAlignment:
    """An alignment whose learned offsets are zero and whose modulation is one half."""
    align = SecondOrderDeformableAlignment(CHANNELS, kernel, groups=4, depth=1)
    torch.nn.init.zeros_(align.conv_offset[-1].weight)
    return align


def test_without_motion_it_is_a_convolution():
    align = still_alignment()
    nearer, farther = torch.randn(2, 2, CHANNELS, 8, 9)
    none = torch.zeros(2, 2, 8, 9)
    out = align(nearer, farther, torch.randn(2, 3 * CHANNELS, 8, 9), none, none)
    expected = F.conv2d(torch.cat((nearer, farther), 1), align.weight / 2, align.bias, padding=1)
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-4)


def test_each_picture_follows_its_own_flow():
    align = still_alignment(kernel=1)
    nearer, farther = torch.randn(2, 1, CHANNELS, 8, 9)
    flow1, flow2 = (torch.tensor(v).view(1, 2, 1, 1).expand(1, 2, 8, 9) for v in ([2.0, 0.0], [0.0, -1.0]))
    out = align(nearer, farther, torch.randn(1, 3 * CHANNELS, 8, 9), flow1, flow2)
    moved = torch.cat((warp(nearer, flow1), warp(farther, flow2)), 1)
    torch.testing.assert_close(out, F.conv2d(moved, align.weight / 2, align.bias), atol=1e-5, rtol=1e-4)


def test_published_sizes():
    with torch.device("meta"):
        align = SecondOrderDeformableAlignment()
    assert align.weight.shape == (128, 256, 3, 3)
    assert align.conv_offset[0].weight.shape == (128, 388, 3, 3)
    assert align.conv_offset[-1].weight.shape == (432, 128, 3, 3)


def window(pictures: int, current: int) -> tuple[torch.Tensor, AnchoredMotion]:
    generator = torch.Generator().manual_seed(pictures)
    features = torch.randn(2, pictures, CHANNELS, 6, 7, generator=generator)
    motion = torch.randn(2, pictures, 2, 6, 7, generator=generator)
    motion[:, current] = 0
    return features, AnchoredMotion(motion, current)


@pytest.mark.parametrize("reach", [None, 1, 2])
@pytest.mark.parametrize(("pictures", "current"), [(1, 0), (2, 1), (4, 2), (5, 0)])
def test_windows_of_any_length(reach, pictures, current):
    propagation = BidirectionalPropagation(CHANNELS, 1, 4, depth=1, reach=reach)
    features, flow = window(pictures, current)
    before = features.clone()
    assert propagation(features, flow, current).shape == (2, CHANNELS, 6, 7)
    assert propagation(features, flow).shape == features.shape
    assert torch.equal(features, before)


def test_all_pictures_or_the_last_of_a_sweep_agree():
    """A picture in the middle is the same whether the others are asked for or not, as far as they feed it."""
    torch.manual_seed(0)
    propagation = BidirectionalPropagation(CHANNELS, 1, 4, depth=1)
    features, flow = window(3, 0)
    torch.testing.assert_close(propagation(features, flow)[:, 0], propagation(features, flow, 0))


@pytest.mark.parametrize("other", [0, 1, 3])
def test_the_target_sees_its_neighbours(other):
    torch.manual_seed(0)
    propagation = BidirectionalPropagation(CHANNELS, 1, 4, depth=1, reach=1)
    features, flow = window(4, 2)
    changed = features.clone()
    changed[:, other] += 1
    assert (propagation(features, flow, 2) - propagation(changed, flow, 2)).abs().max() > 1e-3


def test_every_parameter_learns():
    propagation = BidirectionalPropagation(CHANNELS, 3, 4, depth=2, reach=1)
    features, flow = window(4, 2)
    propagation(features, flow, 2).square().sum().backward()
    assert [n for n, p in propagation.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="reach"):
        BidirectionalPropagation(CHANNELS, reach=0)
    with pytest.raises(ValueError, match="groups"):
        SecondOrderDeformableAlignment(CHANNELS, groups=3)
