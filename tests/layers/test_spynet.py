"""SPyNet: what its levels add up to, in pixels of the input."""

import pytest
import torch

from b2scvr.layers.spynet import SPyNet

SMALL = dict(widths=(4, 4), levels=3)


def quiet(network):
    """Make every level say zero."""
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    return network


def test_levels_that_say_nothing_leave_no_flow():
    network = quiet(SPyNet(**SMALL))
    first, second = torch.rand(2, 2, 3, 20, 28)
    assert torch.equal(network(first, second), torch.zeros(2, 2, 20, 28))


def test_a_step_of_a_level_counts_in_its_own_pixels():
    network = quiet(SPyNet(**SMALL))
    for level, step in zip(network.levels, (1.0, 10.0, 100.0), strict=True):  # coarsest first
        level[-1].bias.data[0] = step
    flow = network(*torch.rand(2, 1, 3, 16, 24))
    torch.testing.assert_close(flow[:, 0], torch.full((1, 16, 24), 4 * 1.0 + 2 * 10.0 + 100.0))
    assert flow[:, 1].abs().max() == 0


def test_flow_shrinks_with_the_picture_that_was_enlarged():
    network = quiet(SPyNet(**SMALL))
    network.levels[-1][-1].bias.data[:] = torch.tensor((1.0, 1.0))
    flow = network(*torch.rand(2, 1, 3, 15, 18))  # seen as 16 x 20
    torch.testing.assert_close(flow[0, :, 7, 9], torch.tensor((18 / 20, 15 / 16)))


def test_finer_levels_see_the_second_picture_along_the_flow():
    """Where the flow so far is right, a level finds its two pictures alike."""
    network = quiet(SPyNet(widths=(), levels=2))
    network.levels[0][-1].bias.data[0] = 2.0  # 4 pixels on the finer level
    weight = network.levels[1][-1].weight  # the flow there becomes the difference of the two pictures' first colours
    weight.data[0, 0, 3, 3], weight.data[0, 3, 3, 3] = 1.0, -1.0
    first = torch.rand(1, 3, 16, 32)
    flow = network(first, first.roll(4, 3))
    torch.testing.assert_close(flow[0, 0, :, 4:-8], torch.full((16, 20), 4.0))


def test_published_size_and_gradients():
    with torch.device("meta"):
        network = SPyNet()
    assert sum(p.numel() for p in network.parameters()) == 1_440_300
    small = SPyNet(**SMALL)
    small(*torch.rand(2, 1, 3, 16, 16)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in small.parameters())


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="no flow between"):
        SPyNet(**SMALL)(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 12))
    with pytest.raises(ValueError, match="at least one level"):
        SPyNet(levels=0)
