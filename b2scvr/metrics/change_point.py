"""Where the damage of a slice begins: how far off a detector is, and how well it knows that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WRONG = 0.5  # probability from which a macroblock counts as wrong
INTERVAL = (0.05, 0.95)  # of the posterior: between them the change point lies with 90 %


@dataclass(frozen=True)
class ChangePoint:
    """Of one slice, in macroblocks from its first; the length of the slice where nothing is wrong."""

    true: int
    found: int
    low: int  # the interval's ends, both inside it
    high: int

    @property
    def error(self) -> int:
        """Macroblocks between truth and finding, positive where damage was found late."""
        return self.found - self.true

    @property
    def covered(self) -> bool:
        """Whether the truth lies in the interval."""
        return self.low <= self.true <= self.high


@dataclass(frozen=True)
class ChangePointScores:
    """Over slices; all but `coverage` in macroblocks."""

    slices: int
    mean_error: float  # of the magnitudes
    median_error: float
    interval: float  # mean width of the 90 % interval
    coverage: (
        float  # share of the slices whose truth lies in theirs; 0.9 or a little more where uncertainty is told well
    )


def change_points(probability: np.ndarray, wrong: np.ndarray, slice_start: np.ndarray) -> list[ChangePoint]:
    """Return the change points of the slices of a picture that are damaged, or were found to be.

    probability: float [h, w] that a macroblock is wrong; wrong, slice_start: bool [h, w]. In a slice the probability that
    macroblock i is wrong is that of a change point at i or before: its distribution function, of which the quantiles are
    read. Raises ValueError when the shapes differ.
    """
    if not probability.shape == wrong.shape == slice_start.shape:
        shapes = [list(array.shape) for array in (probability, wrong, slice_start)]
        raise ValueError(f"probability, wrong and slice_start are of {shapes}: they must agree")
    told, truth = probability.reshape(-1), wrong.reshape(-1)
    starts = np.union1d([0], np.flatnonzero(slice_start))
    points = []
    for start, end in zip(starts, [*starts[1:], len(told)], strict=True):
        of_slice = told[start:end]
        low, found, high = (_first(of_slice >= quantile) for quantile in (INTERVAL[0], WRONG, INTERVAL[1]))
        true = _first(truth[start:end])
        if min(true, found) < len(of_slice):
            points.append(ChangePoint(true, found, low, high))
    return points


def change_point_scores(points: Sequence[ChangePoint]) -> ChangePointScores | None:
    """Return the scores of slices; None without any."""
    if not points:
        return None
    errors = np.abs([point.error for point in points])
    return ChangePointScores(
        slices=len(points),
        mean_error=float(errors.mean()),
        median_error=float(np.median(errors)),
        interval=float(np.mean([point.high - point.low for point in points])),
        coverage=float(np.mean([point.covered for point in points])),
    )


def _first(flags: np.ndarray) -> int:
    """Return the position of the first True, the length where there is none."""
    return int(np.append(flags, True).argmax())
