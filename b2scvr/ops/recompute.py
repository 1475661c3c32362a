"""Activation checkpointing (Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016): recompute, not remember."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch.utils.checkpoint import checkpoint

Result = TypeVar("Result")


def recomputed(function: Callable[..., Result], *inputs: object, wanted: bool) -> Result:
    """Return `function(*inputs)`; where `wanted` and gradients are, its activations are computed again on the way back.

    The gradients are the same; random numbers are drawn as the first time.
    """
    if wanted and torch.is_grad_enabled():
        return checkpoint(function, *inputs, use_reentrant=False)
    return function(*inputs)
