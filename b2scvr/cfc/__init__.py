"""Codec-feature completion: the recovery network and what runs it on a picture."""

from b2scvr.cfc.generator import GeneratorOutput, RecoveryGenerator
from b2scvr.cfc.recovery import RecoveryNetwork, RecoveryOutput
from b2scvr.cfc.schedule import PictureRestorer

__all__ = ["GeneratorOutput", "PictureRestorer", "RecoveryGenerator", "RecoveryNetwork", "RecoveryOutput"]
