"""Validation during training: the averaged weights, judged on the same samples each time, and pictures of some."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from b2scvr.data.dataset import Batch, StepDataset
from b2scvr.engine.runtime import Runtime
from b2scvr.engine.stages import Stage


@torch.no_grad()
def validate(stage: Stage, network: nn.Module, data: StepDataset, samples: int, runtime: Runtime) -> dict[str, float]:
    """Return the means of `stage.judge` over up to `samples` samples of `data`, spread evenly, shared by the processes."""
    chosen = _spread(data, samples)
    each = -(-len(chosen) // runtime.world)
    sums: dict[str, Tensor] = {}
    for turn in range(each):
        batch = _batch(data, chosen[(turn * runtime.world + runtime.rank) % len(chosen)], runtime)
        with runtime.autocast():
            judged = stage.judge(network, batch)
        sums = {name: sums.get(name, 0) + value for name, value in judged.items()}
    return runtime.mean({name: value / each for name, value in sums.items()})


@torch.no_grad()
def pictures(stage: Stage, network: nn.Module, data: StepDataset, count: int, runtime: Runtime) -> Iterator[np.ndarray]:
    """Yield `stage.show` of up to `count` samples, spread evenly, as uint8 [H, W, 3]. All processes must take them."""
    for entry in _spread(data, count):
        batch = _batch(data, entry, runtime)
        with runtime.autocast():
            shown = torch.cat([picture[0].float() for picture in stage.show(network, batch)], dim=2)
        yield (shown.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()


def _spread(data: StepDataset, count: int) -> list[int]:
    count = min(count, len(data))
    return [number * len(data) // count for number in range(count)]


def _batch(data: StepDataset, entry: int, runtime: Runtime) -> Batch:
    return {name: value.to(runtime.device) for name, value in data.batch_of_one(entry).items()}
