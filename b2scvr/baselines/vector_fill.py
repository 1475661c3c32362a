"""The vector fill: the nearest intact picture moved along the motion that the bitstream still tells, where the decoder
concealed. Nothing learned: the peer to beat, and the safe fallback.
"""

from __future__ import annotations

import numpy as np

from b2scvr.ops.masks import at_pixels
from b2scvr.registry import MODELS
from b2scvr.types import PictureDamage, Surroundings


@MODELS.register_module()
class ConcealedMacroblocks:
    """Takes for damaged what the decoder concealed, and, in pictures without concealment, what the damage trace reaches."""

    def __init__(self, trace_threshold: float = 0.5) -> None:
        self.trace_threshold = trace_threshold

    def detect(self, surroundings: Surroundings) -> PictureDamage:
        """Return the damage of the picture; probabilities are 0 or 1, the confidence is always 0.5."""
        wrong = surroundings.concealed
        if not wrong.any():
            wrong = surroundings.damage_trace >= self.trace_threshold
        height, width = surroundings.decoded.shape[:2]
        mask = at_pixels(wrong, height, width)
        return PictureDamage(wrong.astype(np.float32), mask.astype(np.float32), 0.5)


@MODELS.register_module()
class VectorFill:
    """Restores with one of the classical candidates: "fill" (all motion that is known) or "steady" (constant velocity)."""

    def __init__(self, candidate: str = "fill") -> None:
        self.candidate = candidate

    def restore(self, surroundings: Surroundings, damage: PictureDamage) -> np.ndarray:
        """Return the candidate, uint8 [H, W, 3]; the caller takes from it what is damaged."""
        return surroundings.candidate(self.candidate)
