#!/usr/bin/env python
"""Damage clean clips, recover them blind with each config, and print the tables.

    python tools/evaluate.py FOOTAGE_DIR --seeds 0 1 2 --configs configs/vector_fill.py configs/b2scvr_tiny.py
    python tools/evaluate.py FOOTAGE_DIR --peers --branch 144096 rtp:rate=0.01 --mode auto --output table.md
    python tools/evaluate.py BSCV_DIR --protocol bscv-240p --branch 144096 124096

FOOTAGE_DIR holds videos; BSCV_DIR is a data set in BSCV's layout, whose damage is there already; --branch then
names its branches. Concealment is always in the table; its mask is the damage trace alone. Damaged pictures are those whose
decode differs at all from the decode of the undamaged stream. With --output table.md the results are also written to
table.md, .csv, .json and, as a plot, .png.

    python tools/evaluate.py FOOTAGE_DIR --stage detect --branch 144096 244096 --configs configs/b2scvr_tiny.py

judges detection alone: in every damaged picture, by IoU, outline and the place from which a broken picture is wrong.
Filling peers take the masks of the last config, which is also the one that all others are compared with, clip by clip.
docs/evaluation.md says what each number means. Exit code 0 done; 2 wrong use; 3 clips that cannot be used.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # works without an installed package too

from b2scvr.engine.detection_evaluation import Detector, detection_markdown, evaluate_detection
from b2scvr.engine.evaluate import evaluate
from b2scvr.engine.evaluation_report import as_csv, as_json, gain_series, markdown
from b2scvr.engine.judging import missing_metrics
from b2scvr.engine.output import whole_file
from b2scvr.engine.peers import CONFIGS, PEERS
from b2scvr.engine.progress import CountProgress
from b2scvr.engine.protocol import METRICS, PROTOCOLS, Protocol, named_protocol
from b2scvr.engine.twins import DatasetClip, Source, list_sources, name_of
from b2scvr.metrics.features import DEFAULT as DEFAULT_FEATURES
from b2scvr.pipeline import ROOT, Recoverer
from b2scvr.types import InputError, SpliceError
from b2scvr.write.dot_plot import dot_plot
from b2scvr.write.png import write_picture


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("footage", type=Path, help="folder of clean video clips, or data set in BSCV's layout")
    parser.add_argument("--configs", nargs="+", default=["configs/vector_fill.py", "configs/b2scvr_tiny.py"])
    parser.add_argument("--checkpoint", help="weights instead of the configs' own")
    parser.add_argument("--stage", choices=("recover", "detect"), default="recover", help="what is judged")
    parser.add_argument(
        "--protocol", choices=tuple(PROTOCOLS), default="ours", help="sizes, masks, pictures that count"
    )
    parser.add_argument(
        "--branch", nargs="+", default=["144096"],
        help="damage: BSCV's names (default 144096), or models as tools/damage.py takes them (rtp:rate=0.01), several in "
        "a chain as one argument: '144096 + ber:rate=1e-6'",
    )  # fmt: skip
    parser.add_argument("--peers", nargs="*", choices=PEERS, metavar="PEER", help="compare with these, alone with all: "
                        f"{' '.join(PEERS)}")  # fmt: skip
    parser.add_argument("--metrics", nargs="*", choices=METRICS, default=METRICS, metavar="METRIC",
                        help=f"beside PSNR and the masks' ratios (default: {' '.join(METRICS)})")  # fmt: skip
    parser.add_argument("--i3d", metavar="FILE", help="I3D's weights, for VFID (or those of --features)")
    parser.add_argument("--features", default=DEFAULT_FEATURES, metavar="MODULE:FACTORY",
                        help="another network for VFID: called with weights and device, gives a function from a clip, uint8 "
                        "[T, H, W, 3], to its features")  # fmt: skip
    parser.add_argument("--crf", type=float, default=23)
    parser.add_argument("--gop", type=int, default=16)
    parser.add_argument("--encoder", nargs="+", default=[], metavar="KEY=VALUE",
                        help="further options of x264 by FFmpeg's names: slices=4, x264-params=tff=1 (interlaced)")  # fmt: skip
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--mode", choices=("auto", "splice", "drift", "frames"),
                        help="default: splice; auto in the published protocols")  # fmt: skip
    parser.add_argument("--device", default="cpu", help="auto, cpu or cuda[:N]")
    parser.add_argument("--workers", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--max-pictures", type=int, help="only the first pictures of each clip")
    parser.add_argument("--output", type=Path, help="write table.md, and .csv, .json and .png beside it")
    return parser.parse_args(argv)


def build(config: str, protocol: Protocol) -> Recoverer:
    """Return the recoverer of a config, made once a process."""
    return _recoverer(config, protocol.checkpoint, protocol.device, protocol.mode)


@lru_cache(maxsize=8)
def _recoverer(config: str, checkpoint: str | None, device: str, mode: str) -> Recoverer:
    return Recoverer(config, checkpoint, device=device, mode=mode)


def build_detector(config: str, protocol: Protocol) -> Detector:
    """Return the detector of a config, made once a process."""
    return build(config, protocol).pipeline.detector


def main(argv: list[str] | None = None) -> int:
    """Evaluate; return the exit code."""
    args = parse(argv)
    try:
        if args.stage == "detect":
            table, files = _judge_detection(args, _protocol(args))
        else:
            table, files = _judge_recovery(args, _protocol(args))
    except InputError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 3
    except (ValueError, FileNotFoundError, SpliceError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    print(table)
    for suffix, text in ({".md": table + "\n"} | files).items() if args.output else ():
        with whole_file(_beside(args.output, suffix)) as path:
            path.write_text(text)
    return 0


def _protocol(args: argparse.Namespace) -> Protocol:
    peers = () if args.peers is None else tuple(args.peers) or PEERS
    return named_protocol(
        args.protocol, branch=args.branch[0], crf=args.crf, gop=args.gop, encoder=tuple(args.encoder),
        checkpoint=args.checkpoint,
        device=args.device, max_pictures=args.max_pictures, metrics=tuple(args.metrics), i3d=args.i3d, peers=peers,
        features=args.features,
        **({"mode": args.mode} if args.mode else {}),
    )  # fmt: skip


def _judge_detection(args: argparse.Namespace, protocol: Protocol) -> tuple[str, dict[str, str]]:
    """Return the tables, and the texts of the files by suffix."""
    found = []
    sources = _sources(args)
    for branch, clips in sources.items():
        with CountProgress(f"twins, {branch}") as progress:
            found += evaluate_detection(
                clips, args.seeds, [branch], args.configs, protocol, build_detector, args.workers, progress
            )
    return detection_markdown(found, protocol), {
        ".csv": as_csv(found),
        ".json": as_json(found, protocol, _names(sources), args.seeds),
    }


def _judge_recovery(args: argparse.Namespace, protocol: Protocol) -> tuple[str, dict[str, str]]:
    """Return the tables, for several kinds of damage those over all of them first, and the files' texts by suffix."""
    own = {Path(config).stem for config in args.configs}
    configs = [str(ROOT / "configs" / f"{name}.py") for name in CONFIGS if name in protocol.peers and name not in own]
    configs += args.configs
    tables, rows, skipped = [], [], []
    sources, missing, leader = _sources(args), missing_metrics(protocol), Path(args.configs[-1]).stem
    for branch, clips in sources.items():
        one, failed = replace(protocol, branch=branch, dataset=isinstance(clips[0], DatasetClip)), []
        with CountProgress(f"twins, {branch}") as progress:
            results = evaluate(clips, args.seeds, configs, one, build, args.workers, progress, failed)
        tables.append(markdown(results, one, {} if len(sources) > 1 else missing, failed, leader))
        rows += results
        skipped += failed
    if len(sources) > 1:
        tables.insert(0, markdown(rows, replace(one, branch="; ".join(sources)), missing, skipped, leader))
    if args.output:
        _write_plot(_beside(args.output, ".png"), rows, protocol, list(sources))
    return "\n\n".join(tables), {
        ".csv": as_csv(rows),
        ".json": as_json(rows, protocol, _names(sources), args.seeds, missing, skipped),
    }


def _sources(args: argparse.Namespace) -> dict[str, list[Source]]:
    """Return the clips by kind of damage, before any of them is touched."""
    return {branch: list_sources(args.footage, branch) for branch in args.branch}


def _names(sources: dict[str, list[Source]]) -> list[str]:
    return list(dict.fromkeys(name_of(clip) for clips in sources.values() for clip in clips))


def _beside(output: Path, suffix: str) -> Path:
    """Return where a file of that kind goes; a dot in the name of `output` need not begin a suffix (rtp:rate=0.01)."""
    stem = output.with_suffix("") if output.suffix in (".md", ".csv", ".json", ".png") else output
    return stem.with_name(stem.name + suffix)


def _write_plot(path: Path, rows: list, protocol: Protocol, branches: list[str]) -> None:
    series = gain_series(rows)
    if any(one.values for one in series):
        title = f"PSNR over concealment, {'; '.join(branches)}, protocol {protocol.name}; hollow: told the masks"
        with whole_file(path) as partial:
            write_picture(partial, dot_plot(series, title, "dB"))


if __name__ == "__main__":
    sys.exit(main())
