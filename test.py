"""Recover damaged video: `python test.py INPUT [INPUT ...]`. Results go to OUTPUT/name/ for an INPUT name.ext."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from pathlib import Path

from b2scvr import DEFAULT_CONFIG, __version__
from b2scvr.engine.infer import STAGES, Request, refuse_existing, run
from b2scvr.engine.inputs import UsageError, list_jobs
from b2scvr.engine.progress import StageProgress

DONE, WRONG_USE, UNREADABLE = 0, 2, 3
EPILOG = """exit code: 0 done; 2 wrong use; 3 an input could not be read (the others are done all the same).
OUTPUT/name/ that exists already is left alone, and nothing is done, unless --overwrite is given."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    it = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    it.add_argument(
        "inputs", nargs="+", type=Path, metavar="INPUT", help="elementary stream, container, or folder of them"
    )
    it.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="default: configs/b2scvr_tiny.py"
    )
    it.add_argument("--checkpoint", type=Path, metavar="FILE", help="weights (default: those that the config names)")
    it.add_argument("--output", type=Path, default=Path("outputs"), metavar="DIR", help="default: outputs/")
    it.add_argument("--gt", type=Path, metavar="CLEAN", help="clean stream or folder of frames, to measure against; for "
                    "several inputs a folder with one of these for each, by name")  # fmt: skip
    it.add_argument(
        "--masks", type=Path, metavar="DIR", help="recover with these masks (255 = damaged) instead of finding them"
    )
    it.add_argument("--first-mask", type=Path, metavar="PNG", help="track from this mask of the first damaged picture, "
                    "named by its number (00009.png), or the first in a folder that marks anything")  # fmt: skip
    it.add_argument("--device", type=_device, default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    it.add_argument("--dtype", choices=("fp32", "bf16", "fp16"), default="fp32", help="of the networks (default: fp32)")
    it.add_argument("--stage", choices=STAGES, default="recover", help="stop after it (default: recover)")
    it.add_argument("--size", type=_size, metavar="WxH", help="work at this size, write at the native one")
    it.add_argument("--mode", choices=("auto", "splice", "drift", "frames"), default="auto",
                    help="repair in the stream, along its vectors, or picture by picture; auto: the first that can be "
                    "done")  # fmt: skip
    it.add_argument("--overwrite", action="store_true", help="replace earlier results")
    it.add_argument("--json", action="store_true", help="print the metrics of each input as one line of JSON")
    it.add_argument("--version", action="version", version=f"b2scvr {__version__}")
    return it


def main(argv: list[str] | None = None) -> int:
    """Recover the inputs; return the exit code."""
    arguments = parser().parse_args(argv)
    code = DONE
    try:
        jobs, problems = list_jobs(arguments.inputs, arguments.output)
        for problem in problems:
            code = _complain(problem, UNREADABLE)
        refuse_existing(jobs, arguments.overwrite)
        request = Request(
            arguments.stage, arguments.gt, arguments.masks, arguments.first_mask, _recorded(arguments)
        ).validate()
        recoverer = _load(arguments, request) if jobs and arguments.stage != "parse" else None
    except (UsageError, FileNotFoundError, ValueError) as error:
        return _complain(str(error), WRONG_USE)
    for outcome in run(jobs, request, recoverer, StageProgress):
        if outcome.metrics is None:
            code = _complain(outcome.error or "", UNREADABLE)
        elif arguments.json:
            print(
                json.dumps({"input": str(outcome.job.source), "output": str(outcome.job.target)} | outcome.metrics),
                flush=True,
            )
        else:
            print(_summary(outcome.metrics, outcome.job.target), flush=True)
    return code


def _load(arguments: argparse.Namespace, request: Request):
    started = time.perf_counter()
    from b2scvr.pipeline import Recoverer

    mode = "frames" if arguments.masks or arguments.first_mask else arguments.mode
    recoverer = Recoverer(
        arguments.config, arguments.checkpoint, arguments.device, arguments.dtype, mode=mode, size=arguments.size
    )
    request.config, request.weights = recoverer.config.to_dict(), recoverer.checkpoint
    request.load_seconds = time.perf_counter() - started
    return recoverer


def _recorded(arguments: argparse.Namespace) -> dict[str, object]:
    values = {name: value for name, value in vars(arguments).items() if name != "inputs"}
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


def _summary(metrics: dict, target: Path) -> str:
    words = [
        f"{metrics['frames']} frames, {metrics['broken_access_units']} broken, {metrics['lost_access_units']} lost"
    ]
    if "mode" in metrics:
        words.append(f"{metrics['damaged_frames_detected']} damaged, mode {metrics['mode']}")
    if metrics.get("psnr"):
        words.append("PSNR {decoded:.2f} -> {recovered:.2f} dB".format(**metrics["psnr"]))
    return "\n  note: ".join(["; ".join([*words, str(target)]), *metrics["notes"]])


def _complain(message: str, code: int) -> int:
    print(f"test.py: {' '.join(message.split())}", file=sys.stderr, flush=True)
    return code


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"expected WxH in pixels, like 432x240, got {text!r}")
    return int(found[1]), int(found[2])


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"expected auto, cpu, cuda or cuda:N, got {text!r}")
    return text


if __name__ == "__main__":
    sys.exit(main())
