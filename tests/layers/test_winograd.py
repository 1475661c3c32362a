"""Which convolutions are exchanged, that nothing else changes, and that parameters are shared, not copied."""

import torch
from torch import nn

from b2scvr.layers.winograd import WinogradConv2d, with_winograd


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),  # too few channels in
        nn.Conv2d(8, 8, 3, padding=1, groups=2),
        nn.Conv2d(8, 8, 3, stride=2, padding=1),
        nn.Sequential(nn.Conv2d(8, 4, 3, padding=1, bias=False)),
        nn.Conv2d(4, 8, 1),
    )


def test_wide_convolutions_of_stride_one_are_exchanged_and_say_the_same():
    plain, x = network(), torch.randn(2, 3, 11, 14)
    sooner = with_winograd(plain, smallest=4)
    exchanged = [name for name, module in sooner.named_modules() if isinstance(module, WinogradConv2d)]
    assert exchanged == ["1", "3.0"]
    torch.testing.assert_close(sooner(x), plain(x), atol=1e-5, rtol=1e-4)
    assert not any(isinstance(module, WinogradConv2d) for module in plain.modules())


def test_groups_as_narrow_as_the_rest_are_left_alone():
    assert not any(isinstance(module, WinogradConv2d) for module in with_winograd(network(), smallest=5).modules())


def test_parameters_are_shared_and_a_second_time_costs_nothing():
    plain = network()
    once = with_winograd(plain, smallest=4)
    again = with_winograd(once, smallest=4)
    assert once[0].weight is plain[0].weight and again[0].weight is plain[0].weight
    assert again[1].kernels is once[1].kernels
    assert once[1].kernels.shape == (2, 36, 4, 4)
