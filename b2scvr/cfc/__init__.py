"""Codec-feature completion: the recovery network and what runs it on a picture."""

from b2scvr.cfc.recovery import RecoveryNetwork, RecoveryOutput
from b2scvr.cfc.schedule import PictureRestorer

__all__ = ["PictureRestorer", "RecoveryNetwork", "RecoveryOutput"]
