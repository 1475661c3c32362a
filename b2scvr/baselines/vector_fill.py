"""The vector fill: the nearest intact picture moved along the motion that the bitstream still tells, where the decoder
concealed. Nothing learned: the peer to beat, and the safe fallback.
"""

from __future__ import annotations

import itertools

import numpy as np

from b2scvr.ops.masks import at_pixels
from b2scvr.registry import MODELS
from b2scvr.types import MB_SIZE, PictureDamage, Surroundings

DOUBT = 12.0  # 8 bit levels by which a macroblock may differ from the fill and still be right


@MODELS.register_module()
class ConcealedMacroblocks:
    """Takes for damaged what the decoder concealed, and, in pictures without concealment, what the damage trace reaches.

    In a broken picture without concealment (the decoder did not notice) it is the end of each slice that differs from the
    fill by more than DOUBT on average.
    """

    def __init__(self, trace_threshold: float = 0.5) -> None:
        self.trace_threshold = trace_threshold

    def detect(self, surroundings: Surroundings) -> PictureDamage:
        """Return the damage of the picture; probabilities are 0 or 1, the confidence is always 0.5."""
        wrong = surroundings.concealed
        if surroundings.distrusted is not None:
            wrong = wrong | surroundings.distrusted
        if surroundings.broken and not wrong.any():
            wrong = _differing_ends(surroundings)
        elif not wrong.any():
            wrong = surroundings.damage_trace >= self.trace_threshold
        height, width = surroundings.decoded.shape[:2]
        mask = at_pixels(wrong, height, width)
        return PictureDamage(wrong.astype(np.float32), mask.astype(np.float32), 0.5)


def _differing_ends(surroundings: Surroundings) -> np.ndarray:
    """The end of each slice that differs most from the fill, bool [h, w]: lost bits spoil a slice from some place on."""
    rows, columns = surroundings.concealed.shape
    difference = np.abs(surroundings.decoded.astype(np.float32) - surroundings.fill).mean(axis=2)
    short = rows * MB_SIZE - difference.shape[0], columns * MB_SIZE - difference.shape[1]
    whole = np.pad(difference, ((0, short[0]), (0, short[1])), mode="edge")
    excess = whole.reshape(rows, MB_SIZE, columns, MB_SIZE).mean(axis=(1, 3)).reshape(-1) - DOUBT
    wrong = np.zeros(rows * columns, bool)
    starts = sorted({0, *np.flatnonzero(surroundings.slice_start).tolist()})
    for start, stop in itertools.pairwise([*starts, len(excess)]):
        from_here_on = excess[start:stop][::-1].cumsum()[::-1]
        if from_here_on.max() > 0:
            wrong[start + int(from_here_on.argmax()) : stop] = True
    return wrong.reshape(rows, columns)


@MODELS.register_module()
class VectorFill:
    """Restores with one of the classical candidates: "fill" (all motion that is known) or "steady" (constant velocity)."""

    def __init__(self, candidate: str = "fill") -> None:
        self.candidate = candidate

    def restore(self, surroundings: Surroundings, damage: PictureDamage) -> np.ndarray:
        """Return the candidate, uint8 [H, W, 3]; the caller takes from it what is damaged."""
        return surroundings.candidate(self.candidate)
