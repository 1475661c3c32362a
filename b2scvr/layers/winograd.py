"""A network whose wide 3x3 convolutions are computed by minimal filtering (ops.winograd), for inference on a CPU."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from b2scvr.ops.winograd import TAPS, winograd_conv2d, winograd_kernel

SMALLEST = 64  # channels in and out, of each group; with fewer the transforms cost what they save

Network = TypeVar("Network", bound=nn.Module)


class WinogradConv2d(nn.Module):
    """A 3x3 convolution of stride 1 with zeros around, as `conv` was when this was made."""

    kernels: Tensor  # [groups, 36, C / groups, K / groups]

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.bias = conv.bias
        kernels = torch.stack([winograd_kernel(weight.detach()) for weight in conv.weight.chunk(conv.groups)])
        self.register_buffer("kernels", kernels, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, K, H, W]."""
        groups = len(self.kernels)
        biases = [None] * groups if self.bias is None else self.bias.chunk(groups)
        convolved = [winograd_conv2d(*part) for part in zip(x.chunk(groups, 1), self.kernels, biases, strict=True)]
        return convolved[0] if groups == 1 else torch.cat(convolved, 1)


def with_winograd(network: Network, smallest: int = SMALLEST) -> Network:
    """Return a copy of `network` with the same weights, in which convolutions are WinogradConv2d where that is faster.

    smallest: channels, in and out of each group, from which on they are. The copy shares its parameters with `network`, but
    transformed kernels are those of the moment, and take four times the memory of the ones that they stand for.
    """
    shared = {id(x): x for x in (*network.parameters(), *network.buffers())}
    copied = copy.deepcopy(network, shared)
    for path, module in list(copied.named_modules()):
        if type(module) is nn.Conv2d and _suits(module, smallest):
            copied.set_submodule(path, WinogradConv2d(module))
    return copied


def _suits(conv: nn.Conv2d, smallest: int) -> bool:
    shape = (conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.padding_mode)
    narrowest = min(conv.in_channels, conv.out_channels) // conv.groups
    return shape == ((TAPS, TAPS), (1, 1), (1, 1), (1, 1), "zeros") and narrowest >= smallest
