"""Deformable convolution: a plain convolution at zero offset, and the same as torchvision's at any."""

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import deform_conv2d

from b2scvr.ops.deform_conv import modulated_deform_conv2d

GROUPS = 4


def inputs(kernel: int) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(kernel)
    taps = kernel * kernel
    x = torch.randn(2, 8, 9, 11, generator=generator)
    offset = 3 * torch.randn(2, 2 * GROUPS * taps, 9, 11, generator=generator)
    mask = torch.rand(2, GROUPS * taps, 9, 11, generator=generator)
    weight = torch.randn(5, 8, kernel, kernel, generator=generator)
    bias = torch.randn(5, generator=generator)
    return x, offset, mask, weight, bias


@pytest.mark.parametrize("kernel", [1, 3])
def test_zero_offsets_make_a_convolution(kernel):
    x, offset, mask, weight, bias = inputs(kernel)
    out = modulated_deform_conv2d(x, torch.zeros_like(offset), torch.ones_like(mask), weight, bias)
    torch.testing.assert_close(out, F.conv2d(x, weight, bias, padding=kernel // 2), atol=1e-4, rtol=1e-4)


def test_no_bias_is_a_bias_of_zero():
    x, offset, mask, weight, bias = inputs(3)
    without = modulated_deform_conv2d(x, offset, mask, weight, None)
    torch.testing.assert_close(without, modulated_deform_conv2d(x, offset, mask, weight, torch.zeros_like(bias)))


@pytest.mark.parametrize("kernel", [1, 3])
def test_same_values_and_gradients_as_torchvision(kernel):
    values = inputs(kernel)
    ours, theirs = ([v.clone().requires_grad_() for v in values] for _ in range(2))
    out = modulated_deform_conv2d(*ours)
    x, offset, mask, weight, bias = theirs
    expected = deform_conv2d(x, offset, weight, bias, padding=kernel // 2, mask=mask)
    torch.testing.assert_close(out, expected, atol=1e-4, rtol=1e-4)
    out.square().sum().backward()
    expected.square().sum().backward()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad, atol=2e-2, rtol=1e-3)
