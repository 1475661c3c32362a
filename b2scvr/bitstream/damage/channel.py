"""Where errors fall in a run of bits, packets or sectors: independently, or in bursts (Gilbert 1960, Elliott 1963)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Independent:
    """Errors independent of one another."""

    rate: float  # probability of an error at each place, in [0, 1]

    def validate(self) -> None:
        """Raise ValueError unless the rate is a probability."""
        _check_probability("rate", self.rate)

    def errors(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return which of `count` places have an error, int64, ascending."""
        chosen = rng.choice(count, rng.binomial(count, self.rate), replace=False, shuffle=False)
        return np.sort(chosen).astype(np.int64)


@dataclass(frozen=True)
class GilbertElliott:
    """A Markov chain of a good and a bad state, each with its own rate of independent errors.

    Gilbert's model (Bell System Technical Journal 39, 1960) has no errors in the good state; Elliott's (42, 1963) has.
    The chain starts in its stationary distribution. Mean stay in the bad state: 1 / r places; mean rate of errors:
    (r * good + p * bad) / (p + r).
    """

    p: float  # probability of going from good to bad, at each place
    r: float  # from bad to good
    good: float  # rate of errors in the good state
    bad: float

    def validate(self) -> None:
        """Raise ValueError unless all are probabilities and both states are left at some time."""
        for name in ("p", "r", "good", "bad"):
            _check_probability(name, getattr(self, name))
        if not (self.p and self.r):
            raise ValueError(f"p {self.p} and r {self.r} must be above 0: the chain has to leave both states")

    def errors(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return which of `count` places have an error, int64, ascending."""
        stays, bad_first = self._stays(count, rng)
        ends = np.minimum(np.cumsum(stays), count)
        starts = np.append(0, ends[:-1])
        found = []
        for rate, first in ((self.bad, 0 if bad_first else 1), (self.good, 1 if bad_first else 0)):
            begin, length = starts[first::2], (ends - starts)[first::2]
            inside = Independent(rate).errors(int(length.sum()), rng)  # counted in this state's time
            total = np.cumsum(length)
            stay = np.searchsorted(total, inside, side="right")
            found.append(inside - (total - length)[stay] + begin[stay])
        return np.sort(np.concatenate(found))

    def _stays(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, bool]:
        """Return how long the chain stays in each state until `count` is reached, and whether it starts in the bad one."""
        bad_first = bool(rng.random() < self.p / (self.p + self.r))
        leave = (self.r, self.p) if bad_first else (self.p, self.r)
        pairs = int(count / (1 / self.p + 1 / self.r)) + 1
        blocks: list[np.ndarray] = []
        while sum(int(block.sum()) for block in blocks) < count:
            drawn = np.stack([rng.geometric(rate, pairs) for rate in leave], axis=1)
            blocks.append(np.minimum(drawn, count).reshape(-1))  # a longer stay is as good, and cannot overflow
        return np.concatenate([*blocks, np.zeros(2, np.int64)]), bad_first


Channel = Independent | GilbertElliott
ONE_PERCENT = Independent(0.01)


def _check_probability(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} {value} must lie in [0, 1]")
