#!/usr/bin/env python
"""Make training samples: from clean clips (encoded, damaged and decoded here), or from branches of BSCV as they are.

    python tools/make_pairs.py FOOTAGE_DIR CACHE_DIR --rounds 10 --seed 0
    python tools/make_pairs.py FOOTAGE_DIR CACHE_DIR --damage rtp*3 rtp:rate=0.01 bscv --passes 3
    python tools/make_pairs.py CACHE_DIR --bscv BSCV/144096 BSCV/244096

Can be stopped and started again; finished clips are kept. Exit code 0 done, 2 wrong arguments, 3 a clip that cannot be
used (the others are done) or an unusable cache folder.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # works without an installed package too

from b2scvr.bitstream.encode import parse_options
from b2scvr.data.bscv.samples import BscvCacheSettings, bscv_jobs
from b2scvr.data.cache import CacheSettings, build_cache, clean_clip_jobs
from b2scvr.data.damage_mix import DAMAGE_WEIGHTS, parse_weights
from b2scvr.data.variants import MOVING_SHARE
from b2scvr.engine.progress import CountProgress
from b2scvr.types import InputError


def main(argv: list[str] | None = None) -> int:
    """Build the cache; return the exit code."""
    args = _arguments(argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    try:
        jobs = bscv_jobs(args.bscv) if args.bscv else clean_clip_jobs(args.footage, args.rounds)
        drawn = {name: getattr(args, name) for name in ("seed", "dependents", "clips", "passes")}
        if args.bscv:
            names = " ".join(folder.resolve().name for folder in args.bscv)
            settings: CacheSettings = BscvCacheSettings(**drawn, branches=names)
        else:
            settings = CacheSettings(**drawn, damage=args.damage, moving=args.moving_camera, encoder=args.encoder)
        with CountProgress("clips x branches" if args.bscv else "clips x rounds") as bar:
            entries = build_cache(
                jobs, args.cache, settings, args.workers, lambda done, all_, found: bar(done, all_, f"{found} samples")
            )
    except (InputError, ValueError) as error:
        for line in str(error).splitlines():
            print(f"make_pairs: {line}", file=sys.stderr)
        return 3
    pictures = [entry for entry in entries if entry.pictures == 1]
    broken = sum(entry.broken for entry in pictures)
    clips = f" and {len(entries) - len(pictures)} clips" if args.clips else ""
    print(f"{args.cache}: {len(pictures)} samples, {broken} of pictures that splice mode restores{clips}")
    return 0


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("footage", type=Path, nargs="?", help="folder of clean video clips")
    parser.add_argument("cache", type=Path, help="folder to put the samples into")
    parser.add_argument(
        "--bscv", type=Path, nargs="+", metavar="BRANCH_DIR", help="branches of BSCV instead of footage"
    )
    parser.add_argument("--rounds", type=int, default=10, help="treatments of each clean clip (default 10)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--dependents",
        type=float,
        default=0.0,
        help="chance of a dependent picture beside each that splice mode restores",
    )
    parser.add_argument(
        "--damage",
        nargs="+",
        metavar="NAME[*WEIGHT]",
        help=f"what footage is damaged by: {', '.join(DAMAGE_WEIGHTS)} with drawn parameters, or models as in damage.py "
        f"(default {' '.join(f'{name}*{weight:g}' for name, weight in DAMAGE_WEIGHTS.items())})",
    )
    parser.add_argument(
        "--moving-camera",
        type=float,
        default=MOVING_SHARE,
        help=f"chance of a camera that pans and zooms over footage (default {MOVING_SHARE})",
    )
    parser.add_argument(
        "--encoder",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="options of x264 that footage is encoded with, by FFmpeg's names, instead of drawn ones: slices=4",
    )
    parser.add_argument(
        "--passes",
        type=int,
        default=1,
        help="how often pictures are taken from a clip: after each the true ones are put in (default 1)",
    )
    parser.add_argument(
        "--clips", action="store_true", help="whole damaged clips too, which windows of pictures are drawn from"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    args = parser.parse_intermixed_args(argv)
    if (args.footage is None) == (args.bscv is None):
        parser.error("give a folder of FOOTAGE or branches with --bscv, one of both")
    for name in ("damage", "encoder"):
        if args.bscv and getattr(args, name):
            parser.error(f"--{name} is for footage: branches of BSCV are coded and damaged already")
    for name in ("rounds", "passes", "workers"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(args, name)}")
    for name in ("dependents", "moving_camera"):
        if not 0 <= getattr(args, name) <= 1:
            parser.error(f"--{name.replace('_', '-')} must lie in [0, 1], got {getattr(args, name)}")
    try:
        args.encoder = parse_options(args.encoder)
        args.damage = parse_weights(args.damage) if args.damage else dict(DAMAGE_WEIGHTS)
    except ValueError as error:
        parser.error(str(error))
    return args


if __name__ == "__main__":
    sys.exit(main())
