"""Which damage training pairs get: kinds of it with weights, and their parameters drawn over what streams meet.

{"rtp": 3, "144096": 1, "ge:p=1e-6,r=1e-3": 1}: a kind of KINDS, whose parameters are drawn, or a specification of
bitstream.damage (a model or a branch of BSCV), taken as it is.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping

import numpy as np

from b2scvr.bitstream.damage import BRANCHES, parse_models

KEEP_SETS = "protect=sets"  # without parameter sets there is nothing to learn from


def _bscv(rng: np.random.Generator) -> str:
    """Half of the time a published branch, else cuts anywhere in between."""
    if rng.random() < 0.5:
        return str(rng.choice(list(BRANCHES)))
    length = int(rng.choice([512, 1024, 2048, 4096]))
    return f"bscv:P={rng.choice([1, 1, 2])},L={rng.uniform(0.1, 0.9):.3f},S={length}"


def _bits(rng: np.random.Generator) -> str:
    return f"bits:rate={_log_uniform(rng, 5e-7, 1e-5):.3g},{KEEP_SETS}"


def _bursts(rng: np.random.Generator) -> str:
    """Bursts of 20 to 5,000 bits, about one in 30 to 600 kB."""
    enter, leave = _log_uniform(rng, 2e-7, 4e-6), _log_uniform(rng, 2e-4, 5e-2)
    return f"ge:p={enter:.3g},r={leave:.3g},{KEEP_SETS}"


def _rtp(rng: np.random.Generator) -> str:
    """0.3 to 5 % of the packets lost, one by one or a few in a row; what receivers do with the rest of a NAL unit."""
    rate = _log_uniform(rng, 3e-3, 5e-2)
    channel = f"rate={rate:.3g}"
    if rng.random() < 0.4:
        leave = rng.uniform(0.2, 0.8)  # mean burst of 1.25 to 5 packets
        channel = f"p={rate * leave / (1 - rate):.3g},r={leave:.3g}"
    incomplete = rng.choice(["prefix", "drop", "join"], p=[0.6, 0.3, 0.1])
    return f"rtp:{channel},mtu={rng.choice([576, 1200, 1500, 1500])},incomplete={incomplete},{KEEP_SETS}"


def _ts(rng: np.random.Generator) -> str:
    return f"ts:rate={_log_uniform(rng, 3e-4, 5e-3):.3g},{KEEP_SETS}"


def _sectors(rng: np.random.Generator) -> str:
    size = int(rng.choice([512, 4096]))
    rate = _log_uniform(rng, 3e-3, 2e-2) * size / 4096
    return f"sectors:rate={rate:.3g},size={size},fill={rng.choice(['zeros', 'random'])},{KEEP_SETS}"


def _truncate(rng: np.random.Generator) -> str:
    return f"truncate:fraction={rng.uniform(0.4, 0.98):.3f}"


KINDS: dict[str, Callable[[np.random.Generator], str]] = {
    "bscv": _bscv,
    "bits": _bits,
    "bursts": _bursts,
    "rtp": _rtp,
    "ts": _ts,
    "sectors": _sectors,
    "truncate": _truncate,
}
DAMAGE_WEIGHTS = {"bscv": 4.0, "rtp": 4.0, "ts": 1.0, "bits": 1.0, "bursts": 1.0, "sectors": 1.0, "truncate": 0.25}


def draw_damage(rng: np.random.Generator, weights: Mapping[str, float]) -> str:
    """Return a drawn specification for `bitstream.damage.parse_models`, without a seed."""
    names = list(weights)
    shares = np.array([weights[name] for name in names], np.float64)
    name = names[int(rng.choice(len(names), p=shares / shares.sum()))]
    return KINDS[name](rng) if name in KINDS else name


def check_weights(weights: Mapping[str, float]) -> None:
    """Raise ValueError, naming the entry and the nearest kind, for weights that nothing can be drawn by."""
    if not weights or not sum(weights.values()) > 0:
        raise ValueError("damage: no kind has a weight above 0")
    for name, weight in weights.items():
        if not (0 <= weight < math.inf):
            raise ValueError(f"damage: the weight of {name!r} must be a number from 0 on, got {weight}")
        if name in KINDS:
            continue
        try:
            parse_models([name])
        except ValueError as error:
            near = difflib.get_close_matches(name, KINDS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"kinds are {', '.join(KINDS)}"
            raise ValueError(f"damage: {name!r} is no kind ({hint}) and no specification: {error}") from error


def parse_weights(texts: list[str]) -> dict[str, float]:
    """Return weights as a command line gives them: NAME, or NAME*WEIGHT; ValueError where that is no number."""
    weights: dict[str, float] = {}
    for text in texts:
        name, star, weight = text.rpartition("*")
        try:
            weights[name if star else text] = float(weight) if star else 1.0
        except ValueError as error:
            raise ValueError(f"damage: {text!r} is no NAME*WEIGHT: {weight!r} is no number") from error
    check_weights(weights)
    return weights


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
