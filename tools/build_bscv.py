#!/usr/bin/env python
"""Build a data set in BSCV's layout from clean footage: videos, or folders of pictures (YouTube-VOS: <id>/00000.jpg).

    python tools/build_bscv.py FOOTAGE OUTPUT --branches all --size 240p --workers 8
    python tools/build_bscv.py FOOTAGE OUTPUT --shard 2/4     # on the second of four machines
    python tools/build_bscv.py OUTPUT --gather                # manifest of what several machines built
    python tools/build_bscv.py OUTPUT --verify                # hash every file and derive it again

Can be stopped and started again: finished clips are kept, nothing is half-written. docs/data.md shows the layout.
Exit code 0 done; 1 --verify found a difference; 2 wrong arguments; 3 a clip that cannot be used (reported, the others
are done), or an output that cannot be written.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # works without an installed package too

from b2scvr.bitstream.damage import BRANCHES, branch
from b2scvr.data.bscv.build import TIME_LIMIT_S, Shard, build
from b2scvr.data.bscv.layout import TRUTH_BRANCH
from b2scvr.data.bscv.records import gather
from b2scvr.data.bscv.settings import PICTURE_FORMATS, BuildSettings
from b2scvr.data.bscv.sources import list_sources, parse_size
from b2scvr.data.bscv.verify import verify
from b2scvr.engine.progress import CountProgress
from b2scvr.types import InputError

_DIFFERS, _UNUSABLE, _STOPPED = 1, 3, 130


def main(argv: list[str] | None = None) -> int:
    """Build, gather or verify; return the exit code."""
    args = _arguments(argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    try:
        if args.verify:
            return _verify(args)
        if args.gather:
            manifest = gather(args.output)
            print(f"{args.output}: {len(manifest['clips'])} clips in {', '.join(manifest['branches'])}")
            return 0
        return _build(args)
    except InputError as error:
        return _complain(error)
    except OSError as error:
        return _complain(f"{args.output}: cannot be written ({error}); nothing is half-written, start again to go on")
    except KeyboardInterrupt:
        _complain("stopped; start again to go on")
        return _STOPPED


def _build(args: argparse.Namespace) -> int:
    settings = BuildSettings(
        seed=args.seed, size=args.size, crf=args.crf, gop=args.gop, fps=args.fps, pictures=args.pictures,
        jpeg_quality=args.jpeg_quality, zips=args.zips, parses=not args.no_parses,
    )  # fmt: skip
    clips = [clip for clip in list_sources(args.footage) if args.shard.holds(clip.id)]
    start = time.perf_counter()
    with CountProgress("clips") as progress:
        result = build(clips, args.output, settings, args.branches, args.workers, progress, args.time_limit)
    for failure in result.failures:
        _complain(failure)
    part = "" if args.shard.count == 1 else f" (shard {args.shard.number}/{args.shard.count})"
    failed = f", {len(result.failures)} failed" if result.failures else ""
    speed = f", {result.built / (time.perf_counter() - start):.2f} clips/s" if result.built else ""
    print(f"{args.output}{part}: {result.built} clips built, {result.kept} there before{failed}{speed}")
    return _UNUSABLE if result.failures else 0


def _verify(args: argparse.Namespace) -> int:
    count = 0
    with CountProgress("clips") as progress:
        for sentence in verify(args.output, args.verify == "derive", args.workers, progress):
            print(sentence)
            count += 1
    print(f"{args.output}: {count} differences" if count else f"{args.output}: as recorded")
    return _DIFFERS if count else 0


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    defaults = BuildSettings()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("footage", type=Path, nargs="?", help="folder of clean videos or of folders of pictures")
    parser.add_argument("output", type=Path, help="folder of the data set")
    parser.add_argument(
        "--branches", nargs="+", default=[TRUTH_BRANCH], metavar="NAME", help=f"of {' '.join(BRANCHES)}, or all"
    )
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--size", type=_size, help="WxH, or 240p to keep the aspect ratio (default: each clip's own)")
    parser.add_argument("--crf", type=float, default=defaults.crf, help=f"of x264 (default {defaults.crf})")
    parser.add_argument("--gop", type=int, default=defaults.gop, help=f"pictures (default {defaults.gop})")
    parser.add_argument("--fps", type=float, default=defaults.fps, help="of folders of pictures (default 25)")
    parser.add_argument("--pictures", choices=PICTURE_FORMATS, default=defaults.pictures, help="png is lossless")
    parser.add_argument("--jpeg-quality", type=int, default=defaults.jpeg_quality)
    parser.add_argument("--zips", action="store_true", help="a zip a clip instead of folders, but for the masks")
    parser.add_argument("--no-parses", action="store_true", help="no cached parses of the damaged streams")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument("--shard", type=_shard, default=Shard(), metavar="I/N", help="only part I of N, from 1")
    parser.add_argument("--time-limit", type=float, default=TIME_LIMIT_S, help="seconds for a clip (default 3600)")
    parser.add_argument("--gather", action="store_true", help="only write the manifest of what is in OUTPUT")
    parser.add_argument(
        "--verify", nargs="?", const="derive", choices=("derive", "hash"),
        help="compare OUTPUT with its records; hash: checksums only",
    )  # fmt: skip
    args = parser.parse_intermixed_args(argv)
    try:
        _check(args)
    except ValueError as error:
        parser.error(str(error))
    return args


def _check(args: argparse.Namespace) -> None:
    """Complete the arguments; ValueError when they make no sense together."""
    if args.verify and args.gather:
        raise ValueError("--verify or --gather, one of both")
    if (args.footage is None) != bool(args.verify or args.gather):
        raise ValueError("give FOOTAGE and OUTPUT to build, OUTPUT alone to --verify or --gather")
    if args.workers < 1 or args.time_limit <= 0:
        raise ValueError(f"--workers {args.workers} and --time-limit {args.time_limit:g} must be positive")
    if args.footage and args.output.resolve().is_relative_to(args.footage.resolve()):
        raise ValueError(f"{args.output} lies in {args.footage}: its pictures would be taken for footage")
    args.branches = list(BRANCHES) if args.branches == ["all"] else list(dict.fromkeys(args.branches))
    for name in args.branches:
        branch(name)
    BuildSettings(
        crf=args.crf, gop=args.gop, fps=args.fps, pictures=args.pictures, jpeg_quality=args.jpeg_quality
    ).validate()


def _size(text: str) -> str:
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _shard(text: str) -> Shard:
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no shard like 2/4")
    try:
        return Shard(int(number), int(count))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _complain(what: object) -> int:
    print(f"build_bscv: {' '.join(str(what).split())}", file=sys.stderr)
    return _UNUSABLE


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: clips under way are finished
    sys.exit(main())
