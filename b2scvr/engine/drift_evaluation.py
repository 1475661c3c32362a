"""What drift correction alone is worth: the true picture stands in the broken ones only, the rest follows from it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from b2scvr.engine.twins import Twin
from b2scvr.metrics.psnr import psnr
from b2scvr.ops.dependents import DependentCorrector
from b2scvr.types import NOT_WHOLE, UNKNOWN_REFERENCE, AccessUnitStatus, ParsedClip


@dataclass(frozen=True)
class DriftResult:
    """The dependents of one damaged twin: PSNR (RGB) of each in dB, float64 [n], as decoded and as corrected."""

    clip: str
    seed: int
    decoded: np.ndarray
    corrected: np.ndarray


def correct_twin(twin: Twin, device: str = "cpu", references_known: bool = True) -> DriftResult:
    """Return how far the dependents of `twin` come with the true pictures in the broken ones.

    Dependents are pictures that arrived whole and yet differ from the truth. references_known: False takes away what the
    stream says of the pictures that vectors mean, so that they must be chosen by how well they explain each block.
    """
    clip = twin.coded.clip if references_known else _without_references(twin.coded.clip)
    broken = np.flatnonzero(clip.status == AccessUnitStatus.BROKEN)
    frames = DependentCorrector(clip, device).frames({int(slot): twin.clean[slot] for slot in broken})
    own = np.isin(clip.status, NOT_WHOLE)
    dependents = (clip.frames != twin.clean).any(axis=(1, 2, 3)) & ~own
    before, after = (psnr(shown[dependents], twin.clean[dependents]) for shown in (clip.frames, frames))
    return DriftResult(twin.name, twin.seed, before, after)


def _without_references(clip: ParsedClip) -> ParsedClip:
    unknown = np.full_like(clip.past_reference, UNKNOWN_REFERENCE)
    return replace(clip, past_reference=unknown, future_reference=unknown)
