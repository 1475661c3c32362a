"""The classical guesses of the damaged picture: how the network reads them, and how it blends them into its answer.

Legend: K candidates (0 = the decoder's own picture, the last = the best classical fill), C feature channels, S channels
of the skip; H, W the size at which the network works.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from b2scvr.cfc.motion import STRIDE
from b2scvr.layers.frame_encoder import LEAK
from b2scvr.types import MB_SIZE

DECODED_SHARE = 0.05  # of the weight that the fill leaves; the mask is there because the decoder's picture is wrong


class CandidateStem(nn.Module):
    """Candidates, their validity, their difference to the fill, the mask and the codec evidence -> features.

    [candidates | valid | |candidate - fill| | mask] -> 2x2 conv of stride 2 -> 3x3 conv -> skip (half size)
    skip -> 3x3 conv of stride 2, plus evidence through a 3x3 conv on its macroblock grid -> feature (quarter size)

    downscale: pixels of the picture a pixel at which the network works. ValueError when no whole number of its features fit
    into a macroblock.
    """

    def __init__(
        self, num_candidates: int, evidence_channels: int, skip_channels: int, channels: int, downscale: int = 1
    ) -> None:
        super().__init__()
        if downscale < 1 or MB_SIZE % (STRIDE * downscale):
            raise ValueError(f"downscale must be a divisor of {MB_SIZE // STRIDE}, got {downscale}")
        self.features_per_macroblock = MB_SIZE // (STRIDE * downscale)
        planes = 3 * num_candidates + num_candidates + (num_candidates - 1) + 1
        self.mix = nn.Conv2d(planes, skip_channels, 2, 2)
        self.refine = nn.Conv2d(skip_channels, skip_channels, 3, padding=1)
        self.reduce = nn.Conv2d(skip_channels, channels, 3, 2, 1)
        self.evidence = nn.Conv2d(evidence_channels, channels, 3, padding=1)
        self.combine = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(
        self, candidates: Tensor, valid: Tensor, difference: Tensor, mask: Tensor, evidence: Tensor
    ) -> tuple[Tensor, Tensor]:
        """candidates: [B, K, 3, H, W] in [-1, 1]; valid: [B, K, H, W]; difference: [B, K - 1, H, W], to the fill; mask:
        [B, 1, H, W]; evidence: [B, E, h, w], on the macroblock grid.

        H and W are multiples of 4. Returns the skip [B, S, H / 2, W / 2] and the feature [B, C, H / 4, W / 4].
        """
        planes = torch.cat((candidates.flatten(1, 2), valid, difference, mask), 1)
        skip = F.leaky_relu(self.mix(planes), LEAK, inplace=True).contiguous(memory_format=torch.channels_last)
        skip = F.leaky_relu(self.refine(skip), LEAK, inplace=True)
        size = (planes.shape[-2] // STRIDE, planes.shape[-1] // STRIDE)
        told = F.interpolate(self.evidence(evidence), scale_factor=self.features_per_macroblock, mode="nearest")
        feature = F.leaky_relu(self.reduce(skip) + told[..., : size[0], : size[1]], LEAK, inplace=True)
        return skip, self.combine(feature)


class BlendHead(nn.Module):
    """Feature and skip -> weights of the candidates and a residual, at full resolution.

        feature -> conv to 2x2 sub-cells -> [. | skip] -> conv -> conv to 2x2 pixels -> K logits, 3 residual channels
        weights = softmax(logits),  residual = tanh(.)

    Starts at the fill: the biases of the logits give it the weight `fill_weight`, the decoder's own picture DECODED_SHARE of
    what is left, the others the same each; what the last layer adds is small.
    """

    def __init__(
        self, num_candidates: int, channels: int, skip_channels: int, width: int, fill_weight: float = 0.95
    ) -> None:
        super().__init__()
        if not 0 < fill_weight < 1:
            raise ValueError(f"fill_weight must be in (0, 1), got {fill_weight}")
        self.num_candidates = num_candidates
        self.expand = nn.Conv2d(channels, 4 * width, 3, padding=1)
        self.merge = nn.Conv2d(width + skip_channels, width, 3, padding=1)
        self.head = nn.Conv2d(width, 4 * (num_candidates + 3), 3, padding=1)
        nn.init.normal_(self.head.weight, std=1e-3)
        bias = self.head.get_parameter("bias")
        nn.init.zeros_(bias)
        if num_candidates > 1:
            logits = _start(num_candidates, fill_weight).log()
            with torch.no_grad():
                bias[: 4 * num_candidates] = logits.repeat_interleave(4)  # of the four sub-pixels

    def forward(self, feature: Tensor, skip: Tensor) -> tuple[Tensor, Tensor]:
        """feature: [B, C, h, w]; skip: [B, S, 2h, 2w]. Returns weights [B, K, 4h, 4w] and residual [B, 3, 4h, 4w]."""
        x = F.leaky_relu(F.pixel_shuffle(self.expand(feature), 2), LEAK, inplace=True)
        x = F.leaky_relu(self.merge(torch.cat((x, skip), 1)), LEAK, inplace=True)
        out = F.pixel_shuffle(self.head(x), 2)
        logits, residual = out.split((self.num_candidates, 3), 1)
        return logits.softmax(1), torch.tanh(residual)


def _start(num_candidates: int, fill_weight: float) -> Tensor:
    """Return the weights of the candidates [K] before anything is learned; they sum to one."""
    others = max(1, num_candidates - 2)
    decoded = (1 - fill_weight) * (DECODED_SHARE if num_candidates > 2 else 1)
    return torch.tensor([decoded, *[(1 - fill_weight - decoded) / others] * (num_candidates - 2), fill_weight])
