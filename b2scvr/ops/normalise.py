"""Pictures in the statistics that published backbones were trained with."""

from __future__ import annotations

from torch import Tensor

Statistics = tuple[tuple[float, float, float], tuple[float, float, float]]  # mean and deviation of R, G, B in [0, 1]

IMAGENET: Statistics = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP: Statistics = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))  # Radford et al., 2021


def normalise(pictures: Tensor, statistics: Statistics) -> Tensor:
    """Return `pictures` [..., 3, H, W] in [0, 1] with the mean subtracted and divided by the deviation."""
    mean, deviation = (pictures.new_tensor(values)[:, None, None] for values in statistics)
    return (pictures - mean) / deviation
