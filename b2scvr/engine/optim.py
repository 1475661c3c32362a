"""Optimiser, learning-rate schedules, frozen parameters and the averaged weights that ship."""

from __future__ import annotations

import copy
import difflib
import math
import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

DECAYED_DIMENSIONS = 2  # weights of fewer (biases, scales of normalisation) are not decayed


def freeze(network: nn.Module, patterns: Sequence[str]) -> None:
    """Leave the parameters whose whole name matches one of `patterns` (regular expressions) as they are.

    ValueError for a pattern that matches nothing, and where nothing is left to train.
    """
    for pattern in patterns:
        matching = matching_names(network, pattern)
        for name, parameter in network.named_parameters():
            if name in matching:
                parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise ValueError("every parameter is frozen: nothing to train")


def make_optimizer(
    network: nn.Module,
    lr: float,
    weight_decay: float,
    lr_scale: Mapping[str, float] | None = None,
    betas: tuple[float, float] = (0.9, 0.999),
) -> torch.optim.AdamW:
    """Return AdamW (Loshchilov & Hutter, ICLR 2019) over the parameters of `network` that require a gradient.

    lr_scale: factors of the learning rate by pattern, a regular expression for the whole name of a parameter
    (`backbone\\..*`); the first that matches counts. ValueError for a pattern that matches nothing.
    """
    scale_of: dict[str, float] = {}
    for pattern, factor in (lr_scale or {}).items():
        for name in matching_names(network, pattern):
            scale_of.setdefault(name, factor)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            decay = weight_decay if parameter.ndim >= DECAYED_DIMENSIONS else 0.0
            groups.setdefault((scale_of.get(name, 1.0), decay), []).append(parameter)
    parameters = [
        {"params": members, "weight_decay": decay, "lr": lr * scale, "scale": scale}
        for (scale, decay), members in groups.items()
    ]
    return torch.optim.AdamW(parameters, lr=lr, betas=(betas[0], betas[1]))


def matching_names(network: nn.Module, pattern: str) -> set[str]:
    """Return the names of the parameters that `pattern`, a regular expression, matches from end to end.

    ValueError, with the nearest name, when there is none; and for what is no regular expression.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"{pattern!r} is no regular expression ({error}); all parameters of a part: 'part.*'"
        ) from error
    names = [name for name, _ in network.named_parameters()]
    found = {name for name in names if expression.fullmatch(name)}
    if found:
        return found
    literal = re.sub(r"[^\w.]+", "", pattern).strip(".")
    parts = {name.rsplit(".", level)[0] for name in names for level in range(name.count(".") + 1)}
    near = difflib.get_close_matches(literal, sorted(parts), n=1, cutoff=0.0)
    raise ValueError(f"no parameter is called {pattern!r}; the nearest name is {near[0]!r}")


def schedule(
    step: int, steps: int, warmup: int, final: float, milestones: Sequence[int] = (), factor: float = 0.1
) -> float:
    """Return the factor of the learning rate at `step` (0 is the first).

    A linear rise over `warmup` steps; then half a cosine down to `final` at `steps`, or, where there are `milestones`
    (steps), a fall by `factor` at each.
    """
    if step < warmup:
        return (step + 1) / warmup
    if milestones:
        return factor ** sum(step >= milestone for milestone in milestones)
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every group to `lr` times the group's scale."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["scale"]


class AveragedWeights:
    """Exponential moving average of a network's weights; buffers are copied.

    The decay rises with the steps, min(decay, (1 + step) / (10 + step)), so that the first weights are soon forgotten.
    Of a network that is spread over processes each averages its own part; the two must be spread alike.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after `step` (0 is the first)."""
        keep = min(self.decay, (1 + step) / (10 + step))
        averages = [_own_part(parameter) for parameter in self.network.parameters()]
        values = [_own_part(parameter) for parameter in network.parameters()]
        torch._foreach_lerp_(averages, values, 1 - keep)
        for average, value in zip(self.network.buffers(), network.buffers(), strict=True):
            average.copy_(value)


def _own_part(parameter: Tensor) -> Tensor:
    return parameter.to_local() if isinstance(parameter, DTensor) else parameter
