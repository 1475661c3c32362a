"""Detect any corruption (DAC): which macroblocks and pixels of a damaged picture are wrong."""

from b2scvr.dac.detector import Detector, DetectorOutput
from b2scvr.dac.official import PublishedDetector
from b2scvr.dac.tracker import DamageDetector

__all__ = ["DamageDetector", "Detector", "DetectorOutput", "PublishedDetector"]
