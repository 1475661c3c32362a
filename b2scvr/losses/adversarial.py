"""Hinge losses of adversarial training (Lim and Ye, Geometric GAN, 2017; T-PatchGAN: Chang et al., ICCV 2019)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def discriminator_hinge(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Return what the discriminator loses by the scores of real and of restored videos, each a mean: 0 beyond +1 and -1."""
    return F.relu(1 - real.float()).mean(), F.relu(1 + fake.float()).mean()


def generator_hinge(fake: Tensor) -> Tensor:
    """Return what the generator loses by the scores of its videos: the negative mean."""
    return -fake.float().mean()
