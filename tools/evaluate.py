#!/usr/bin/env python
"""Damage clean clips, recover them blind with each config, and print the table.

    python tools/evaluate.py FOOTAGE_DIR --seeds 0 1 2 --configs configs/vector_fill.py configs/b2scvr_tiny.py

Concealment is always in the table; its mask is the damage trace alone. Damaged pictures are those whose decode differs
at all from the decode of the undamaged stream. With --output table.md the results are also written to table.md, table.csv and
table.json.

    python tools/evaluate.py FOOTAGE_DIR --stage detect --branch 144096 244096 --configs configs/b2scvr_tiny.py

judges detection alone: in every damaged picture, by IoU, outline and the place from which a broken picture is wrong.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # works without an installed package too

from b2scvr.bitstream.video import list_videos
from b2scvr.engine.detection_evaluation import Detector, detection_markdown, evaluate_detection
from b2scvr.engine.evaluate import evaluate
from b2scvr.engine.evaluation_report import as_csv, as_json, markdown
from b2scvr.engine.judging import Result
from b2scvr.engine.progress import CountProgress
from b2scvr.engine.protocol import Protocol
from b2scvr.pipeline import Recoverer
from b2scvr.types import InputError, SpliceError


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("footage", type=Path, help="folder of clean video clips")
    parser.add_argument("--configs", nargs="+", default=["configs/vector_fill.py", "configs/b2scvr_tiny.py"])
    parser.add_argument("--checkpoint", help="weights instead of the configs' own")
    parser.add_argument("--stage", choices=("recover", "detect"), default="recover", help="what is judged")
    parser.add_argument("--branch", nargs="+", default=["144096"], help="damage by BSCV's name (default 144096)")
    parser.add_argument("--crf", type=float, default=23)
    parser.add_argument("--gop", type=int, default=16)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--mode", choices=("auto", "splice", "drift", "frames"), default="splice")
    parser.add_argument("--device", default="cpu", help="auto, cpu or cuda[:N]")
    parser.add_argument("--workers", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--max-pictures", type=int, help="only the first pictures of each clip")
    parser.add_argument("--output", type=Path, help="write table.md, and .csv and .json beside it")
    return parser.parse_args(argv)


@lru_cache(maxsize=8)
def build(config: str, protocol: Protocol) -> Recoverer:
    """Return the recoverer of a config, made once a process."""
    return Recoverer(config, protocol.checkpoint, device=protocol.device, mode=protocol.mode)


def build_detector(config: str, protocol: Protocol) -> Detector:
    """Return the detector of a config, made once a process."""
    return build(config, protocol).pipeline.detector


def main(argv: list[str] | None = None) -> int:
    """Evaluate; return the exit code: 0 done, 2 a config, weights or option that makes no sense, 3 unusable footage."""
    args = parse(argv)
    protocol = Protocol(args.branch[0], args.crf, args.gop, args.mode, args.checkpoint, args.device, args.max_pictures)
    try:
        clips = list_videos(args.footage)
        with CountProgress("twins") as progress:
            if args.stage == "detect":
                found = evaluate_detection(
                    clips, args.seeds, args.branch, args.configs, protocol, build_detector, args.workers, progress
                )
                table, rows = detection_markdown(found, protocol), list(found)
            else:
                table, rows = _recovery(clips, args, protocol, progress)
    except InputError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 3
    except (ValueError, FileNotFoundError, SpliceError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    print(table)
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.with_suffix(".md").write_text(table + "\n")
        args.output.with_suffix(".csv").write_text(as_csv(rows))
        names = [clip.name for clip in clips]
        args.output.with_suffix(".json").write_text(as_json(rows, protocol, names, args.seeds))
    return 0


def _recovery(
    clips: list[Path], args: argparse.Namespace, protocol: Protocol, progress: CountProgress
) -> tuple[str, list[Result]]:
    """Judge recovery for each kind of damage; return the tables and all results."""
    tables, rows = [], []
    for name in args.branch:
        one = replace(protocol, branch=name)
        results = evaluate(clips, args.seeds, args.configs, one, build, args.workers, progress)
        tables.append(markdown(results, one))
        rows += results
    return "\n\n".join(tables), rows


if __name__ == "__main__":
    sys.exit(main())
