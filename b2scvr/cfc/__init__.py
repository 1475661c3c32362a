"""Codec-feature completion: the recovery network and what runs it on a picture."""

from typing import Any

import torch
from torch import nn

from b2scvr.cfc.generator import GeneratorOutput, RecoveryGenerator
from b2scvr.cfc.generator_restorer import GeneratorRestorer, MaskedClip
from b2scvr.cfc.recovery import RecoveryNetwork, RecoveryOutput
from b2scvr.cfc.schedule import PictureRestorer

__all__ = [
    "GeneratorOutput",
    "GeneratorRestorer",
    "MaskedClip",
    "PictureRestorer",
    "RecoveryGenerator",
    "RecoveryNetwork",
    "RecoveryOutput",
    "make_restorer",
]


def make_restorer(
    network: nn.Module, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32, **options: Any
) -> PictureRestorer:
    """Return what runs the recovery network on pictures, and on clips if it can; options: of the class that does."""
    if isinstance(network, RecoveryGenerator):
        return GeneratorRestorer(network, device, dtype, **options)
    return PictureRestorer(network, device, dtype, **options)
