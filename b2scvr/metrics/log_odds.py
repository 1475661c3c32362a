"""Pixels counted by how sure a detector is that they are damaged: all thresholds judged at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

EDGES = np.linspace(-12, 12, 481)  # of the bins of log odds; what lies beyond counts in the outermost ones
CENTRES = (EDGES[1:] + EDGES[:-1]) / 2


@dataclass(frozen=True)
class LogOddsCounts:
    """Pixels by the log odds that a detector gave them, in the bins of EDGES."""

    right: np.ndarray  # int64 [bins], pixels that are not damaged
    wrong: np.ndarray  # int64 [bins], pixels that are

    @classmethod
    def of(cls, log_odds: np.ndarray, damaged: np.ndarray) -> LogOddsCounts:
        """Count pixels, arrays of one shape: log odds (infinite ones too) and the truth, nonzero = damaged.

        Raises ValueError when the shapes differ.
        """
        if log_odds.shape != damaged.shape:
            raise ValueError(f"log odds {list(log_odds.shape)} and truth {list(damaged.shape)} do not match")
        bins = np.clip(np.searchsorted(EDGES, log_odds.reshape(-1), side="right") - 1, 0, len(CENTRES) - 1)
        truth = damaged.reshape(-1).astype(bool)
        right, wrong = (np.bincount(bins[truth == kind], minlength=len(CENTRES)) for kind in (False, True))
        return cls(right, wrong)

    @classmethod
    def of_probabilities(cls, probability: np.ndarray, damaged: np.ndarray) -> LogOddsCounts:
        """As `of`, of probabilities in [0, 1]."""
        with np.errstate(divide="ignore"):  # 0 and 1 are the infinite ends
            return cls.of(np.log(probability) - np.log1p(-probability), damaged)

    def __add__(self, other: LogOddsCounts) -> LogOddsCounts:
        return LogOddsCounts(self.right + other.right, self.wrong + other.wrong)

    def iou_by_threshold(self) -> np.ndarray:
        """Return the IoU of what lies at or above each of EDGES but the last, [bins]."""
        hits, false_alarms = _at_or_above(self.wrong), _at_or_above(self.right)
        return hits / np.maximum(self.wrong.sum() + false_alarms, 1)

    @property
    def average_precision(self) -> float:
        """The mean precision over the damaged pixels, from the surest down; of a bin all pixels come at once.

        Of guesses it is the share of damaged pixels; 1 when nothing is damaged.
        """
        total = self.wrong.sum()
        hits, found = _at_or_above(self.wrong), _at_or_above(self.wrong + self.right)
        return float((self.wrong * hits / np.maximum(found, 1)).sum() / total) if total else 1.0


def _at_or_above(counts: np.ndarray) -> np.ndarray:
    return counts[::-1].cumsum()[::-1]
