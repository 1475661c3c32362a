"""Where networks compute, with which numbers, and what becomes of the memory that they are done with."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")
AT_ONCE = 4  # pictures worked at side by side: each takes memory
KEPT_BYTES = 1 << 30  # of freed memory
_ALLOCATOR = {  # mallopt(3): parameter, value
    "M_TRIM_THRESHOLD": (-1, KEPT_BYTES),
    "M_TOP_PAD": (-2, 64 << 20),
    "M_MMAP_THRESHOLD": (-3, 32 << 20),  # the most that it takes
    "M_ARENA_MAX": (-8, AT_ONCE),  # each arena keeps memory of its own; new threads would open ever more of them
}
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


def keep_freed_memory() -> bool:
    """Have the C library keep freed memory for what is asked for next; return whether it does, for all of this process.

    The GNU C library hands large blocks back to the system as soon as they are free, which fills them with zeros, page by
    page, when they are asked for again: up to a third of the time of a clip is spent there. Others are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    return mallopt is not None and all(mallopt(*setting) for setting in _ALLOCATOR.values())
