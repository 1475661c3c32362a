"""Where networks compute, and with which numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")
AT_ONCE = 4  # pictures worked at side by side: each takes memory
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device(name: str) -> torch.device:
    """Return the device called `name`: "auto" is CUDA where there is one. ValueError for one that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"--device {name}: no CUDA device here; use --device cpu")
    return device


def pick_dtype(name: str) -> torch.dtype:
    """Return the number type called `name`, one of DTYPES. ValueError for another."""
    if name not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {name!r}")
    return DTYPES[name]


def side_by_side(work: Callable[[Item], Result], items: Sequence[Item], device: torch.device) -> Iterator[Result]:
    """Yield `work` of each item, in order; on a CPU it is done for several at a time, in threads that share its cores.

    One small picture keeps hardly more than one core busy. `work` must allow that.
    """
    threads = torch.get_num_threads()
    at_once = min(len(items), threads, AT_ONCE) if device.type == "cpu" else 1
    if at_once < 2:
        yield from map(work, items)
        return
    try:
        with ThreadPoolExecutor(at_once, initializer=torch.set_num_threads, initargs=(threads // at_once,)) as pool:
            yield from pool.map(work, items)
    finally:
        torch.set_num_threads(threads)  # what a thread sets is the default of later ones
