"""Schedules of the full recovery network judged on real clips: the same damaged twins, weights and detection for all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from b2scvr.config import load_config
from b2scvr.engine.evaluate import evaluate
from b2scvr.engine.judging import Result
from b2scvr.engine.protocol import Protocol
from b2scvr.engine.recover_benchmark import SPLICE, check_schedules
from b2scvr.engine.twins import Source
from b2scvr.pipeline import Recoverer


def judge_schedules(
    clips: Sequence[Source],
    seeds: list[int],
    config: Path,
    schedules: Sequence[str],
    protocol: Protocol,
) -> list[Result]:
    """Return a result for concealment and for each schedule, by its name, each clip and each seed, in that order.

    "splice" restores the broken pictures inside the stream, the others all damaged pictures in frames mode. Raises
    ValueError for an unknown schedule, InputError for a clip that cannot be judged.
    """
    check_schedules(schedules)

    @lru_cache(maxsize=1)
    def build(schedule: str, protocol: Protocol) -> Recoverer:
        loaded = load_config(config)
        mode = "splice" if schedule == SPLICE else "frames"
        loaded["frames"] = {} if schedule == SPLICE else {**loaded.get("frames", {}), "schedule": schedule}
        return Recoverer(loaded, protocol.checkpoint, protocol.device, mode=mode)

    return evaluate(clips, seeds, list(schedules), protocol, build)
