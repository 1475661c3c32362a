#!/usr/bin/env python
"""Make training samples from a folder of clean clips: encode, damage, decode, keep the broken pictures with the truth.

    python tools/make_pairs.py FOOTAGE_DIR CACHE_DIR --rounds 10 --seed 0

Can be stopped and started again; finished clips are kept.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # works without an installed package too

from b2scvr.data.cache import CacheSettings, build_cache
from b2scvr.types import InputError


def main(argv: list[str] | None = None) -> int:
    """Build the cache; return the exit code (0 done, 3 unusable footage or cache folder)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("footage", type=Path, help="folder of clean video clips")
    parser.add_argument("cache", type=Path, help="folder to put the samples into")
    parser.add_argument("--rounds", type=int, default=10, help="treatments of each clip (default 10)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--dependents", type=float, default=0.0, help="chance of a dependent picture beside each broken one"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    columns = (
        TextColumn("[bold]clips x rounds"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[samples]} samples"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    settings = CacheSettings(seed=args.seed, dependents=args.dependents)
    try:
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("make", total=None, samples=0)

            def show(done: int, total: int, samples: int) -> None:
                bar.update(task, completed=done, total=total, samples=samples)

            entries = build_cache(args.footage, args.cache, args.rounds, settings, args.workers, show)
    except (InputError, ValueError) as error:
        print(f"make_pairs: {error}", file=sys.stderr)
        return 3
    broken = sum(entry.broken for entry in entries)
    print(f"{args.cache}: {len(entries)} samples, {broken} of broken pictures")
    return 0


if __name__ == "__main__":
    sys.exit(main())
