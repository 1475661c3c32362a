"""Perceptual loss: distance of features of a network that knows pictures (Johnson et al., Perceptual Losses, ECCV 2016)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from b2scvr.checkpoints.known import VARIABLE, KnownWeights, MissingWeightsError, find_weights
from b2scvr.checkpoints.load import WeightsMismatchError, compare_keys, read_weights, strip_prefix
from b2scvr.ops.normalise import IMAGENET, normalise

VGG16 = KnownWeights(
    "vgg16",
    "vgg16-397923af.pth",  # torchvision's
    553,
    "BSD-3-Clause",
    "https://download.pytorch.org/models/vgg16-397923af.pth",
)
TAPS = (4, 9, 16)  # layers of torchvision's VGG-16 right behind relu1_2, relu2_2 and relu3_3


class PerceptualLoss(nn.Module):
    """Mean L1 distance of VGG-16's features behind relu1_2, relu2_2 and relu3_3, summed over the three.

    weights: torchvision's, by path; None looks for them (checkpoints.known). They are frozen. Raises MissingWeightsError
    when they are not there, WeightsMismatchError when they are of another network.
    """

    def __init__(self, weights: str | Path | None = None) -> None:
        from torchvision.models import vgg16  # takes a second to import, which only this loss should wait for

        super().__init__()
        with torch.device("meta"):
            layers = vgg16(weights=None).features[: TAPS[-1]]
        path = _require(weights)
        known = layers.state_dict()
        found = {name: value for name, value in strip_prefix(read_weights(path), "features").items() if name in known}
        if problems := compare_keys(known, found):
            raise WeightsMismatchError(f"{path}: not the weights of torchvision's VGG-16: {problems}")
        layers.load_state_dict(found, assign=True)
        # Out of place: a tap must not see what the layer behind it makes of the same memory.
        self.layers = nn.ModuleList(nn.ReLU() if isinstance(layer, nn.ReLU) else layer for layer in layers)
        self.requires_grad_(False).eval()

    def forward(self, pictures: Tensor, target: Tensor) -> Tensor:
        """pictures, target: [N, 3, H, W] in [0, 1], 4 pixels a side at least. Returns a scalar."""
        x, true = normalise(pictures, IMAGENET), normalise(target, IMAGENET)
        distance = x.new_zeros(())
        for number, layer in enumerate(self.layers, 1):
            x, true = layer(x), layer(true)
            if number in TAPS:
                distance = distance + (x - true.detach()).abs().mean()
        return distance


def _require(weights: str | Path | None) -> Path:
    path = find_weights(VGG16) if weights is None else Path(weights)
    if path is None or not path.is_file():
        where = "not found on this machine" if path is None else f"not at {path}"
        raise MissingWeightsError(
            f"the perceptual loss needs {VGG16.file}, which is {where}; get it from {VGG16.url} (about "
            f"{VGG16.megabytes} MB, {VGG16.licence}) and put its folder into {VARIABLE}, or leave perceptual_weight out"
        )
    return path
