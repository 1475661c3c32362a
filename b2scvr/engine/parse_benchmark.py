"""Speed of parsing with all maps, beside plain decoding of the same stream in the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

from b2scvr.bitstream.plain import decode_plain
from b2scvr.bitstream.reader import decode_file


def measure_parsing(path: Path, repeat: int) -> dict[str, float]:
    """Return frames a second, the median of `repeat` runs in turn, by what was done. All of it runs on one core.

    Seconds are those of the process's CPU: what else the machine does counts less. Raises InputError for a file that
    cannot be read.
    """
    frames = len(decode_file(path).clip)  # warms the caches too
    works: dict[str, Callable[[], object]] = {
        "plain decoding (PyAV)": lambda: decode_plain(path, convert=False),
        "plain decoding to RGB (PyAV)": lambda: decode_plain(path, convert=True),
        "parsing with all maps": lambda: decode_file(path),
    }
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeat):
        for name, work in works.items():
            start = time.process_time()
            work()
            seconds[name].append(time.process_time() - start)
    rates = {f"{name}, frames/s": frames / statistics.median(spent) for name, spent in seconds.items()}
    plain, parsed = (statistics.median(seconds[name]) for name in ("plain decoding (PyAV)", "parsing with all maps"))
    return {"frames": float(frames), **rates, "parsing takes as long as so many decodings": parsed / plain}
