#!/usr/bin/env python
"""Measure what drift correction alone is worth.

    python tools/measure_drift.py FOOTAGE --seeds 0 1

Each clip is encoded and damaged. In the damaged stream's decode the TRUE picture is put into the broken pictures only, and
the pictures that depend on them are corrected along the stream's vectors (--mode drift of test.py). The table, in
Markdown, gives the PSNR (RGB) of the dependents as decoded and as corrected: means over dependents.
Exit code 0 done, 2 wrong arguments, 3 footage that cannot be used.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # works without an installed package too

from b2scvr.bitstream.video import list_videos
from b2scvr.engine.drift_evaluation import DriftResult, correct_twin
from b2scvr.engine.progress import CountProgress
from b2scvr.engine.protocol import Protocol
from b2scvr.engine.twins import make_twin
from b2scvr.metrics.summary import markdown_table
from b2scvr.types import InputError


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    it = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    it.add_argument("footage", type=Path, help="folder of clean videos")
    it.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="of the damage (default 0 1)")
    it.add_argument("--branch", default="144096", help="damage by BSCV's name (default 144096)")
    it.add_argument("--crf", type=float, default=23)
    it.add_argument("--gop", type=int, default=16)
    it.add_argument("--max-pictures", type=int, metavar="N", help="only the first N pictures of each clip")
    it.add_argument("--device", default="cpu", help="cpu or cuda[:N]")
    it.add_argument(
        "--unknown-references",
        action="store_true",
        help="do not use what the stream says of the pictures that vectors mean",
    )
    return it


def main(argv: list[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    arguments = parser().parse_args(argv)
    protocol = Protocol(arguments.branch, arguments.crf, arguments.gop, max_pictures=arguments.max_pictures)
    results = []
    try:
        twins = [(clip, seed) for clip in list_videos(arguments.footage) for seed in arguments.seeds]
        with CountProgress("twins") as progress:
            for number, (clip, seed) in enumerate(twins, 1):
                twin = make_twin(clip, seed, protocol)
                results.append(correct_twin(twin, arguments.device, not arguments.unknown_references))
                progress(number, len(twins))
    except InputError as error:
        print(f"measure_drift.py: {error}", file=sys.stderr)
        return 3
    except ValueError as error:
        print(f"measure_drift.py: {error}", file=sys.stderr)
        return 2
    print(markdown_table(list(_rows(results))))
    return 0


def _rows(results: list[DriftResult]) -> Iterator[dict[str, str]]:
    """Yield a row for each clip, seeds together, and one for all."""
    for name in [*dict.fromkeys(result.clip for result in results), "all"]:
        own = [result for result in results if name in (result.clip, "all")]
        before, after = (np.concatenate([getattr(r, part) for r in own]) for part in ("decoded", "corrected"))
        values = (before.mean(), after.mean(), (after - before).mean()) if len(before) else (np.nan,) * 3
        decoded, corrected, gain = (f"{value:.2f}" for value in values)
        yield {"clip": name, "dependents": str(len(before)), "decoded": decoded, "corrected": corrected, "gain": gain}


if __name__ == "__main__":
    sys.exit(main())
