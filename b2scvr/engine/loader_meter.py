"""How many samples the loader's processes make, beside how many the training step uses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from b2scvr.data.dataset import MAKING_SECONDS, Batch

Result = TypeVar("Result")
BOTTLENECK = 0.1  # share of the time spent waiting from which the loader holds training up


@dataclass(frozen=True)
class LoaderReport:
    """Samples a second of one process and its workers."""

    made: float  # what the workers make when they are never held up
    used: float  # what training took
    needed: float  # what it would take without ever waiting
    waiting: float  # share of the time in which training waited, 0..1

    @property
    def is_bottleneck(self) -> bool:
        """Whether training is held up by its samples, and more processes would help."""
        return self.waiting > BOTTLENECK and self.made < self.needed

    def advice(self) -> str:
        """Say what holds training up and what helps."""
        return (
            f"the loader is the bottleneck: it makes {self.made:.1f} samples/s where training could use {self.needed:.1f}; "
            "more train.workers, a smaller crop or faster storage would help"
        )

    def __str__(self) -> str:
        return f"loader makes {self.made:.1f} samples/s, {self.used:.1f} used, waiting {100 * self.waiting:.0f} %"


class LoaderMeter:
    """Measures the steps since the last report. workers: processes that make samples; 0 = the training process itself."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._clear()

    def take(self, batches: Iterator[Batch], count: int) -> list[Batch]:
        """Return the next `count` batches, the time that making them took removed and noted."""
        started = time.perf_counter()
        taken = [next(batches) for _ in range(count)]
        self._waited += time.perf_counter() - started
        for batch in taken:
            self._making += float(batch.pop(MAKING_SECONDS))
            self._samples += len(next(iter(batch.values())))
        return taken

    def computed(self, step: Callable[[list[Batch]], Result], batches: list[Batch]) -> Result:
        """Return `step(batches)` and note how long it took."""
        started = time.perf_counter()
        result = step(batches)
        self._computing += time.perf_counter() - started
        return result

    def report(self) -> LoaderReport:
        """Return the figures since the last report, and begin anew."""
        spent = self._waited + self._computing
        report = LoaderReport(
            made=_rate(max(1, self.workers) * self._samples, self._making),
            used=_rate(self._samples, spent),
            needed=_rate(self._samples, self._computing),
            waiting=self._waited / spent if spent > 0 else 0.0,
        )
        self._clear()
        return report

    def _clear(self) -> None:
        self._samples, self._waited, self._making, self._computing = 0, 0.0, 0.0, 0.0


def _rate(samples: float, seconds: float) -> float:
    return samples / seconds if seconds > 0 else float("inf")
