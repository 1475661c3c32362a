#!/usr/bin/env python
"""Damage clean clips, recover them blind with each config, and print the table.

    python tools/evaluate.py FOOTAGE_DIR --seeds 0 1 2 --configs configs/vector_fill.py configs/b2scvr_tiny.py

Concealment is always in the table; its mask is the damage trace alone. Damaged pictures are those whose decode differs
at all from the decode of the undamaged stream. With --output table.md the results are also written to table.md, table.csv and
table.json.
"""

from __future__ import annotations

import argparse
import sys
from functools import lru_cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # works without an installed package too

from b2scvr.bitstream.video import list_videos
from b2scvr.engine.evaluate import Protocol, evaluate
from b2scvr.engine.evaluation_report import as_csv, as_json, markdown
from b2scvr.engine.progress import CountProgress
from b2scvr.pipeline import Recoverer
from b2scvr.types import InputError, SpliceError


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("footage", type=Path, help="folder of clean video clips")
    parser.add_argument("--configs", nargs="+", default=["configs/vector_fill.py", "configs/b2scvr_tiny.py"])
    parser.add_argument("--checkpoint", help="weights instead of the configs' own")
    parser.add_argument("--branch", default="144096", help="damage by BSCV's name (default 144096)")
    parser.add_argument("--crf", type=float, default=23)
    parser.add_argument("--gop", type=int, default=16)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--mode", choices=("auto", "splice", "frames"), default="splice")
    parser.add_argument("--device", default="cpu", help="auto, cpu or cuda[:N]")
    parser.add_argument("--workers", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--max-pictures", type=int, help="only the first pictures of each clip")
    parser.add_argument("--output", type=Path, help="write table.md, and .csv and .json beside it")
    return parser.parse_args(argv)


@lru_cache(maxsize=8)
def build(config: str, protocol: Protocol) -> Recoverer:
    """Return the recoverer of a config, made once a process."""
    return Recoverer(config, protocol.checkpoint, device=protocol.device, mode=protocol.mode)


def main(argv: list[str] | None = None) -> int:
    """Evaluate; return the exit code: 0 done, 2 a config, weights or option that makes no sense, 3 unusable footage."""
    args = parse(argv)
    protocol = Protocol(args.branch, args.crf, args.gop, args.mode, args.checkpoint, args.device, args.max_pictures)
    try:
        clips = list_videos(args.footage)
        with CountProgress("twins") as progress:
            results = evaluate(clips, args.seeds, args.configs, protocol, build, args.workers, progress)
    except InputError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 3
    except (ValueError, FileNotFoundError, SpliceError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    table = markdown(results, protocol)
    print(table)
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.with_suffix(".md").write_text(table + "\n")
        args.output.with_suffix(".csv").write_text(as_csv(results))
        names = [clip.name for clip in clips]
        args.output.with_suffix(".json").write_text(as_json(results, protocol, names, args.seeds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
