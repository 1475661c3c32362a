"""Minimal filtering is a convolution: known answers, any size, and as exact as the direct sum."""

import pytest
import torch
import torch.nn.functional as F

from b2scvr.ops import winograd
from b2scvr.ops.winograd import winograd_conv2d, winograd_kernel


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_a_kernel_of_one_value_moves_the_picture():
    x, weight = torch.rand(1, 1, 6, 9), torch.zeros(1, 1, 3, 3)
    weight[..., 0, 1] = 1  # what is above
    moved = winograd_conv2d(x, winograd_kernel(weight))
    torch.testing.assert_close(moved[..., 1:, :], x[..., :-1, :], atol=1e-5, rtol=0)
    torch.testing.assert_close(moved[..., 0, :], torch.zeros(1, 1, 9), atol=1e-5, rtol=0)


def test_ones_count_the_neighbours():
    counted = winograd_conv2d(torch.ones(1, 1, 3, 3), winograd_kernel(torch.ones(1, 1, 3, 3)))
    expected = torch.tensor([[4.0, 6, 4], [6, 9, 6], [4, 6, 4]])
    torch.testing.assert_close(counted[0, 0], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (5, 7), (13, 30)])
def test_same_as_the_direct_convolution_whatever_the_size_and_the_strips(size, monkeypatch):
    x, weight, bias = torch.randn(2, 5, *size), torch.randn(7, 5, 3, 3), torch.randn(7)
    expected = F.conv2d(x.double(), weight.double(), bias.double(), padding=1).float()
    whole = winograd_conv2d(x, winograd_kernel(weight), bias)
    monkeypatch.setattr(winograd, "STRIP_BYTES", 1)
    strips = winograd_conv2d(x.contiguous(memory_format=torch.channels_last), winograd_kernel(weight), bias)
    for found in (whole, strips):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_hardly_less_exact_than_the_direct_convolution():
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(1, 64, 24, 40, generator=generator), torch.randn(32, 64, 3, 3, generator=generator)
    true = F.conv2d(x.double(), weight.double(), padding=1)
    ours, direct = winograd_conv2d(x, winograd_kernel(weight)), F.conv2d(x, weight, padding=1)
    assert (ours - true).abs().max() < 4 * (direct - true).abs().max()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="3x3"):
        winograd_kernel(torch.zeros(1, 1, 5, 5))
    with pytest.raises(ValueError, match="2 channels, the kernel is for 3"):
        winograd_conv2d(torch.zeros(1, 2, 4, 4), winograd_kernel(torch.zeros(1, 3, 3, 3)))
