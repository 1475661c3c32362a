"""Second-order flow-guided deformable alignment (Chan et al., BasicVSR++, 2022, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from b2scvr.ops.deform_conv import modulated_deform_conv2d


class SecondOrderDeformableAlignment(nn.Module):
    """Two already propagated features -> one feature aligned to the current picture.

    Offsets are the two flows plus a learned correction of at most `max_residual` cells: the first half of the groups
    follows the flow to the nearer picture, the second half the flow to the farther one.

        offset = max_residual * tanh(.) + flow,  modulation = sigmoid(.),  both from convolutions over
        [nearer warped | current | farther warped | both flows]
    """

    def __init__(
        self,
        channels: int = 128,
        kernel_size: int = 3,
        groups: int = 16,
        hidden: int | None = None,
        depth: int = 3,
        max_residual: float = 10.0,
    ) -> None:
        super().__init__()
        if groups % 2 or channels * 2 % groups:
            raise ValueError(f"{2 * channels} channels do not split into {groups} groups, half for each picture")
        hidden = hidden or channels
        self.groups = groups
        self.taps = kernel_size**2
        self.max_residual = max_residual
        self.weight = nn.Parameter(torch.empty(channels, 2 * channels, kernel_size, kernel_size))
        nn.init.kaiming_uniform_(self.weight, a=1)
        self.bias = nn.Parameter(torch.zeros(channels))
        layers: list[nn.Module] = []
        width = 3 * channels + 4
        for _ in range(depth):
            layers += [nn.Conv2d(width, hidden, 3, padding=1), nn.LeakyReLU(0.1, inplace=True)]
            width = hidden
        last = nn.Conv2d(width, 3 * groups * self.taps, 3, padding=1)
        # Nearly zero: training starts from the flow itself, and the layers before still get a gradient.
        nn.init.normal_(last.weight, std=1e-3)
        nn.init.zeros_(last.get_parameter("bias"))
        self.conv_offset = nn.Sequential(*layers, last)

    def forward(self, nearer: Tensor, farther: Tensor, condition: Tensor, flow1: Tensor, flow2: Tensor) -> Tensor:
        """Align.

        nearer, farther: [B, C, h, w] features, not warped; condition: [B, 3C, h, w], nearer warped, current, farther
        warped; flow1, flow2: [B, 2, h, w] (x, y) cells, current -> nearer, current -> farther. Returns [B, C, h, w].
        """
        out = self.conv_offset(torch.cat((condition, flow1, flow2), 1))
        raw, modulation = out.split((2 * self.groups * self.taps, self.groups * self.taps), 1)
        per_flow = self.groups // 2 * self.taps
        flow = torch.cat([f.flip(1).repeat(1, per_flow, 1, 1) for f in (flow1, flow2)], 1)  # offsets are (dy, dx)
        offset = self.max_residual * torch.tanh(raw) + flow
        features = torch.cat((nearer, farther), 1)
        return modulated_deform_conv2d(features, offset, torch.sigmoid(modulation), self.weight, self.bias)


def conv_pair(in_channels: int, channels: int) -> nn.Sequential:
    """Return the two 3x3 convolutions that mix aligned features (BasicVSR++'s backbone, as short as E2FGVI's)."""
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, 3, padding=1),
        nn.LeakyReLU(0.1, inplace=True),
        nn.Conv2d(channels, channels, 3, padding=1),
    )
