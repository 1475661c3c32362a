"""The loader's pace beside the step's need, from batches that say how long they took."""

import pytest
import torch

from b2scvr.data.dataset import MAKING_SECONDS
from b2scvr.engine import loader_meter
from b2scvr.engine.loader_meter import LoaderMeter


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 0.0

    monkeypatch.setattr(loader_meter.time, "perf_counter", lambda: Clock.now)
    return Clock


def measured(clock, making, waiting, computing, workers=2):
    def loader():
        while True:
            clock.now += waiting
            yield {"target": torch.zeros(4, 1), MAKING_SECONDS: torch.tensor(making)}

    def step(batches):
        assert all(MAKING_SECONDS not in batch for batch in batches)
        clock.now += computing

    meter, batches = LoaderMeter(workers), loader()
    for _ in range(3):
        meter.computed(step, meter.take(batches, 2))
    return meter.report()


def test_a_loader_that_keeps_up(clock):
    report = measured(clock, making=0.5, waiting=0.0, computing=2.0)
    assert (report.made, report.used, report.needed, report.waiting) == (16, 4, 4, 0)
    assert not report.is_bottleneck and "makes 16.0 samples/s, 4.0 used, waiting 0 %" in str(report)


def test_a_loader_that_does_not(clock):
    report = measured(clock, making=4.0, waiting=1.5, computing=1.0)
    assert (report.made, report.used, report.needed, report.waiting) == (2, 2, 8, 0.75)
    assert report.is_bottleneck and "makes 2.0 samples/s where training could use 8.0" in report.advice()
