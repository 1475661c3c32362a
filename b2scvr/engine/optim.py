"""Optimiser, learning-rate schedule and the averaged weights that ship."""

from __future__ import annotations

import copy
import fnmatch
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

DECAYED_DIMENSIONS = 2  # weights of fewer (biases, scales of normalisation) are not decayed


def make_optimizer(
    network: nn.Module,
    lr: float,
    weight_decay: float,
    lr_scale: Mapping[str, float] | None = None,
    frozen: Sequence[str] = (),
) -> torch.optim.AdamW:
    """Return AdamW (Loshchilov & Hutter, ICLR 2019) over the parameters of `network` that are trained.

    lr_scale: factors of the learning rate by pattern of the parameter's name (`backbone.*`), the first that matches;
    frozen: patterns of parameters that stay as they are. ValueError for a pattern that matches nothing.
    """
    scales = dict(lr_scale or {})
    names = [name for name, _ in network.named_parameters()]
    for pattern in (*scales, *frozen):
        if not fnmatch.filter(names, pattern):
            raise ValueError(f"no parameter is called {pattern!r}; some are {', '.join(names[:3])}")
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in frozen):
            parameter.requires_grad_(False)
        if not parameter.requires_grad:
            continue
        scale = next((factor for pattern, factor in scales.items() if fnmatch.fnmatchcase(name, pattern)), 1.0)
        decay = weight_decay if parameter.ndim >= DECAYED_DIMENSIONS else 0.0
        groups.setdefault((scale, decay), []).append(parameter)
    if not groups:
        raise ValueError("every parameter is frozen: nothing to train")
    parameters = [
        {"params": members, "weight_decay": decay, "lr": lr * scale, "scale": scale}
        for (scale, decay), members in groups.items()
    ]
    return torch.optim.AdamW(parameters, lr=lr)


def schedule(step: int, steps: int, warmup: int, final: float) -> float:
    """Return the factor of the learning rate at `step` (0 is the first): a linear rise, then half a cosine down to `final`."""
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every group to `lr` times the group's scale."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["scale"]


class AveragedWeights:
    """Exponential moving average of a network's weights; buffers are copied.

    The decay rises with the steps, min(decay, (1 + step) / (10 + step)), so that the first weights are soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after `step` (0 is the first)."""
        keep = min(self.decay, (1 + step) / (10 + step))
        averages: list[Tensor] = [*self.network.parameters()]
        values: list[Tensor] = [*network.parameters()]
        torch._foreach_lerp_(averages, values, 1 - keep)
        for average, value in zip(self.network.buffers(), network.buffers(), strict=True):
            average.copy_(value)
