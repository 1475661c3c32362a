"""Damage to H.264 elementary streams: models, how they are written down, and the record of what they changed."""

from b2scvr.bitstream.damage.bit_errors import BitErrors
from b2scvr.bitstream.damage.channel import GilbertElliott, Independent
from b2scvr.bitstream.damage.cut import BRANCHES, CutModel, branch
from b2scvr.bitstream.damage.manifest import damage_manifest, replay
from b2scvr.bitstream.damage.model import Applied, Change, DamageModel, Edit, apply_changes, damage, damage_all
from b2scvr.bitstream.damage.packet_loss import RtpLoss, TsLoss
from b2scvr.bitstream.damage.sectors import BadSectors
from b2scvr.bitstream.damage.spec import parse_models, seed_of_stage
from b2scvr.bitstream.damage.truncation import Truncation

__all__ = [
    "BRANCHES",
    "Applied",
    "BadSectors",
    "BitErrors",
    "Change",
    "CutModel",
    "DamageModel",
    "Edit",
    "GilbertElliott",
    "Independent",
    "RtpLoss",
    "Truncation",
    "TsLoss",
    "apply_changes",
    "branch",
    "damage",
    "damage_all",
    "damage_manifest",
    "parse_models",
    "replay",
    "seed_of_stage",
]
