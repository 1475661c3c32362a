"""Results of several methods on several clips in numbers that can be quoted: means, intervals, worst clips, tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

# 97.5 % quantiles of Student's t distribution for 1 .. 30 degrees of freedom; beyond, the normal distribution's.
_STUDENT = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
_NORMAL = 1.960


def mean_and_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the half width of its 95 % confidence interval (Student's t); NaN for a single value's width.

    Raises ValueError without values.
    """
    if not values:
        raise ValueError("no values to average")
    array = np.asarray(values, np.float64)
    count = len(array)
    if count == 1:
        return float(array[0]), math.nan
    quantile = _STUDENT[count - 2] if count - 2 < len(_STUDENT) else _NORMAL
    return float(array.mean()), float(quantile * array.std(ddof=1) / math.sqrt(count))


def with_interval(values: Sequence[float], digits: int = 2, signed: bool = False) -> str:
    """Return "mean ± half width" of the values; only the mean where there is one value, "-" where there is none."""
    if not values:
        return "-"
    mean, half = mean_and_interval(values)
    shown = f"{mean:+.{digits}f}" if signed else f"{mean:.{digits}f}"
    return shown if math.isnan(half) else f"{shown} ± {half:.{digits}f}"


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
