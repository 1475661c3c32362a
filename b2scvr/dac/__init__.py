"""Detect any corruption (DAC): which macroblocks and pixels of a damaged picture are wrong."""

import torch
from torch import nn

from b2scvr.dac.calibration import Calibration
from b2scvr.dac.detector import Detector, DetectorOutput
from b2scvr.dac.official import PublishedDetector
from b2scvr.dac.published_tracker import PublishedTracker
from b2scvr.dac.tracker import DamageDetector

__all__ = [
    "Calibration",
    "DamageDetector",
    "Detector",
    "DetectorOutput",
    "PublishedDetector",
    "PublishedTracker",
    "make_tracker",
]


def make_tracker(
    network: nn.Module,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    calibration: Calibration | None = None,
    **options: bool,
) -> DamageDetector | PublishedTracker:
    """Return what runs the detection network on pictures and clips; options: of the class that does.

    calibration: of the network's numbers; the published detector keeps those it was published with.
    """
    if isinstance(network, PublishedDetector):
        return PublishedTracker(network, device, dtype, **options)
    return DamageDetector(network, device, dtype, calibration=calibration, **options)
