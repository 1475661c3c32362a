"""Temporal PatchGAN (Chang et al., Free-form Video Inpainting, ICCV 2019): which parts of a video look real?"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.utils import spectral_norm

from b2scvr.layers.frame_encoder import LEAK

KERNEL, STRIDE, PADDING = (3, 5, 5), (1, 2, 2), (1, 2, 2)  # (pictures, rows, columns)
FIRST_PADDING = (1, 1, 1)  # of the published network; its weights expect it


class TemporalPatchDiscriminator(nn.Module):
    """Convolutions over time and space, stride 2 in space: one score a patch, high where it looks real.

    All layers but the last have spectral norm (Miyato et al., 2018) and no bias. It is kept as a hook, which stores
    `weight_orig`, `weight_u` and `weight_v` as the published weights do. widths: channels of the layers.
    """

    def __init__(self, in_channels: int = 3, widths: Sequence[int] = (32, 64, 128, 128, 128, 128)) -> None:
        super().__init__()
        if len(widths) < 2:
            raise ValueError(f"a discriminator has at least 2 layers, got widths {tuple(widths)}")
        layers: list[nn.Module] = []
        before = in_channels
        for index, width in enumerate(widths[:-1]):
            padding = PADDING if index else FIRST_PADDING
            conv = nn.Conv3d(before, width, KERNEL, STRIDE, padding, bias=False)
            layers += [spectral_norm(conv), nn.LeakyReLU(LEAK, inplace=True)]
            before = width
        self.conv = nn.Sequential(*layers, nn.Conv3d(before, widths[-1], KERNEL, STRIDE, PADDING))

    def forward(self, videos: Tensor) -> Tensor:
        """videos: [B, T, 3, H, W] in [-1, 1] -> scores [B, T, widths[-1], ~H / 2^layers, ~W / 2^layers], unbounded."""
        return self.conv(videos.transpose(1, 2)).transpose(1, 2)
