"""Results of several methods on several clips in numbers that can be quoted: means, intervals, worst clips, tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

RESAMPLES, SEED = 5000, 0  # of the bootstrap
COVERED = 0.95


def mean_and_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean and both ends of its 95 % confidence interval; the ends of a single value are NaN.

    Percentile bootstrap (Efron, Annals of Statistics 7(1), 1979): the values, one for each clip, are drawn again with
    replacement RESAMPLES times, always with the same seed. Too narrow where clips are few. Raises ValueError without values.
    """
    if not values:
        raise ValueError("no values to average")
    array = np.asarray(values, np.float64)
    mean = float(array.mean())
    if len(array) == 1:
        return mean, math.nan, math.nan
    drawn = np.random.default_rng(SEED).integers(0, len(array), (RESAMPLES, len(array)))
    low, high = np.quantile(array[drawn].mean(axis=1), ((1 - COVERED) / 2, (1 + COVERED) / 2))
    return mean, float(low), float(high)


def with_interval(values: Sequence[float], digits: int = 2, signed: bool = False) -> str:
    """Return "mean [low, high]" of the values; only the mean where there is one value, "-" where there is none."""
    if not values:
        return "-"
    mean, low, high = (
        f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}" for value in mean_and_interval(values)
    )
    return mean if len(values) == 1 else f"{mean} [{low}, {high}]"


def markdown_table(rows: Sequence[Mapping[str, str]]) -> str:
    """Return a Markdown table; the columns are those of the first row. ValueError for a row with others."""
    if not rows:
        return ""
    columns = list(rows[0])
    for row in rows:
        if list(row) != columns:
            raise ValueError(f"a row has the columns {list(row)}, the first one has {columns}")
    lines = [columns, ["---"] * len(columns), *([row[name] for name in columns] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
