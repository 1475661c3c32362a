"""Measure speed and memory.

python tools/benchmark.py pipeline INPUT    one input through the whole path
python tools/benchmark.py parse INPUT       all maps of an elementary H.264 stream, beside plain decoding, on one core
python tools/benchmark.py detect             detection in a made-up clip, ours beside the published schedule
python tools/benchmark.py recover           the full recovery network's schedules side by side on a made-up clip
python tools/benchmark.py recover --footage DIR --checkpoint FILE    their PSNR on real clips, encoded and damaged here
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # also runs from a checkout that is not installed

from b2scvr import DEFAULT_CONFIG
from b2scvr.engine.detect_benchmark import OURS, PUBLISHED, SPLICE, build_detector, measure_detection
from b2scvr.engine.infer import Request, run
from b2scvr.engine.inputs import Job
from b2scvr.engine.parse_benchmark import measure_parsing
from b2scvr.types import InputError

if TYPE_CHECKING:
    from b2scvr.engine.protocol import Protocol
    from b2scvr.pipeline import Recoverer

MEBIBYTE = 1 << 20


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    it = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = it.add_subparsers(dest="part", required=True)
    pipeline = parts.add_parser("pipeline", help="seconds per stage, frames a second and peak memory of one input")
    pipeline.add_argument("input", type=Path)
    pipeline.add_argument("--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE")
    pipeline.add_argument("--checkpoint", type=Path, metavar="FILE")
    pipeline.add_argument("--device", default="auto")
    pipeline.add_argument("--dtype", choices=("fp32", "bf16", "fp16"), default="fp32")
    pipeline.add_argument("--mode", choices=("auto", "splice", "drift", "frames"), default="auto")
    pipeline.add_argument("--threads", type=int, metavar="N", help="CPU threads of torch (default: torch's choice)")
    pipeline.add_argument("--json", action="store_true", help="print JSON instead of a table")
    pipeline.set_defaults(measure=measure_pipeline)
    parse = parts.add_parser("parse", help="frames a second of parsing with all maps, and of plain decoding")
    parse.add_argument("input", type=Path)
    parse.add_argument("--repeat", type=int, default=5, metavar="N", help="runs; the median counts (default 5)")
    parse.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parse.set_defaults(measure=measure_parse)
    _add_detect(
        parts.add_parser("detect", help="frames a second and memory of detection, beside the published schedule")
    )
    _add_recover(parts.add_parser("recover", help="seconds and peak memory of each schedule of the full network"))
    return it


def _add_detect(it: argparse.ArgumentParser) -> None:
    it.add_argument("--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="its dac, with random weights")
    it.add_argument("--cfg-options", nargs="+", metavar="KEY=VALUE", help="changes to the config")
    it.add_argument("--frames", type=int, nargs="+", default=[16], metavar="N", help="clips of so many (default 16)")
    it.add_argument("--size", default="640x360", metavar="WxH")
    it.add_argument("--damaged", type=int, default=9, metavar="N", help="pictures of every 16 (default 9, as in BSCV)")
    it.add_argument(
        "--published", type=int, metavar="N", help="pictures that it is timed on; 0: without (default: all)"
    )
    it.add_argument("--device", default="auto")
    it.add_argument("--dtype", choices=("fp32", "bf16", "fp16"), default="fp32", help="of our schedule")
    it.add_argument("--compile", action="store_true", help="torch.compile the image encoder and the memory attention")
    it.add_argument("--threads", type=int, metavar="N", help="CPU threads of torch (default: torch's choice)")
    it.add_argument("--json", action="store_true", help="print JSON instead of a table")
    it.set_defaults(measure=measure_detect)


def _add_recover(it: argparse.ArgumentParser) -> None:
    it.add_argument("--schedule", nargs="+", default=["published", "exact", "fast", "splice"], metavar="NAME")
    it.add_argument("--config", type=Path, default=Path(__file__).resolve().parents[1] / "configs/cfc/official.py")
    it.add_argument("--checkpoint", type=Path, metavar="FILE", help="weights (default: random ones, as fast)")
    it.add_argument("--frames", type=int, default=60, metavar="N", help="pictures of the clip (default 60)")
    it.add_argument("--size", default="432x240", metavar="WxH")
    it.add_argument("--damaged", nargs="+", type=float, metavar="SHARE", help="of the pictures, 0 to 1 (default 1)")
    it.add_argument("--branch", nargs="+", default=[], metavar="NAME", help="BSCV's: damage as it has on average")
    it.add_argument("--once", action="store_true", help="run the first schedule with the first damage only")
    it.add_argument(
        "--parts", action="store_true", help="time each part of the network in one published window instead"
    )
    it.add_argument("--footage", type=Path, metavar="DIR", help="judge on these clips, at their own size, by PSNR")
    it.add_argument("--seed", type=int, default=0, metavar="N", help="of the damage of footage (default 0)")
    it.add_argument("--broken", type=int, default=1, metavar="N", help="pictures of 16 that lost bits (splice)")
    it.add_argument("--every", type=int, default=1, metavar="N", help="damage in one GOP of N (default 1: in all)")
    it.add_argument("--device", default="cpu")
    it.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32")
    it.add_argument("--threads", type=int, metavar="N", help="CPU threads of torch (default: torch's choice)")
    it.add_argument("--json", action="store_true", help="print JSON instead of tables")
    it.set_defaults(measure=measure_recover)


def main(argv: list[str] | None = None) -> int:
    """Measure and print; return the exit code (3: the input could not be read)."""
    arguments = parser().parse_args(argv)
    return arguments.measure(arguments)


def measure_parse(arguments: argparse.Namespace) -> int:
    """Measure parsing and print; return the exit code."""
    try:
        found = measure_parsing(arguments.input, max(1, arguments.repeat))
    except (InputError, OSError) as error:
        print(f"benchmark.py: {error}", file=sys.stderr)
        return 3
    if arguments.json:
        print(json.dumps(found))
    else:
        print("\n".join(f"{name:<44}{value:>10.1f}" for name, value in found.items()))
    return 0


def measure_detect(arguments: argparse.Namespace) -> int:
    """Measure detection and print; return the exit code (wrong use leaves through the parser, with 2)."""
    import torch

    from b2scvr.ops.compute import pick_device

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    try:
        width, height = (int(side) for side in arguments.size.split("x"))
        network = build_detector(arguments.config, str(pick_device(arguments.device)), arguments.cfg_options)
        if arguments.compile:
            network.sam.image_encoder.compile()
            network.sam.memory_attention.compile()
        found = measure_detection(
            network, arguments.frames, (width, height), arguments.dtype, arguments.published, arguments.damaged
        )
    except (FileNotFoundError, ValueError) as error:
        parser().error(str(error))
    rows = [{**asdict(one), "frames_per_second": one.frames_per_second} for one in found]
    if arguments.json:
        print(json.dumps(rows))
        return 0
    print("schedule   type  frames  looked at   frames/s   CPU s/frame  memory beyond weights and clip, MiB")
    for one in found:
        print(
            f"{one.schedule:<11}{one.dtype:<6}{one.frames:>6}{one.looked_at:>11}{one.frames_per_second:>11.3f}"
            f"{one.cpu_seconds_per_frame:>14.3f}{one.peak_bytes / MEBIBYTE:>12.0f}"
        )
    if found[0].schedule == PUBLISHED:
        for ours in (next(one for one in found if one.schedule == name) for name in (OURS, SPLICE)):
            faster = ours.frames_per_second / found[0].frames_per_second
            cheaper = found[0].cpu_seconds_per_frame / ours.cpu_seconds_per_frame
            print(f"{ours.schedule} is {faster:.2f} times as fast, {cheaper:.2f} in CPU time")
    return 0


def measure_recover(arguments: argparse.Namespace) -> int:
    """Measure the schedules at each share of damage and print; return the exit code."""
    from b2scvr.engine.recover_benchmark import Measured, RecoverySetting, damage_of_branch, measure_schedules

    if arguments.footage is not None:
        return judge_recover(arguments)
    try:
        width, height = (int(side) for side in arguments.size.split("x"))
    except ValueError:
        parser().error(f"--size must be WIDTHxHEIGHT, got {arguments.size!r}")
    if arguments.parts:
        return measure_window(arguments, (width, height))
    shares = arguments.damaged or ([] if arguments.branch else [1.0])
    damage = {f"{share:.0%} damaged": {"damaged": share, "broken": arguments.broken} for share in shares}
    first: Measured | None = None
    try:
        damage |= {name: damage_of_branch(name) for name in arguments.branch}
        for head, kind in damage.items():
            setting = RecoverySetting(
                arguments.config,
                arguments.checkpoint,
                arguments.frames,
                (width, height),
                every=max(1, arguments.every),
                device=arguments.device,
                dtype=arguments.dtype,
                threads=arguments.threads,
                **kind,
            )
            found = measure_schedules(setting, arguments.schedule, first)
            if arguments.once:
                first = Measured(**found["measured"][arguments.schedule[0]])
            print(json.dumps({**kind, **found}) if arguments.json else _schedules(head, found), flush=True)
    except (OSError, ValueError) as error:
        parser().error(str(error))
    return 0


def measure_window(arguments: argparse.Namespace, size: tuple[int, int]) -> int:
    """Time the parts of the network in one published window and print; return the exit code."""
    from b2scvr.engine.recover_benchmark import RecoverySetting, measure_parts

    setting = RecoverySetting(
        arguments.config, arguments.checkpoint, arguments.frames, size, damaged=1.0, threads=arguments.threads
    )
    try:
        spent = measure_parts(setting)
    except (OSError, ValueError) as error:
        parser().error(str(error))
    if arguments.json:
        print(json.dumps(spent))
    else:
        print("\n".join(f"{name:<14}{cpu:>9.2f} s{cpu / spent['all']:>7.0%}" for name, cpu in spent.items()))
    return 0


def judge_recover(arguments: argparse.Namespace) -> int:
    """Judge the schedules on damaged twins of footage and print; return the exit code (3: a clip cannot be used).

    All have the same twins, weights and detection; "splice" restores inside the stream, the others in frames mode.
    """
    import torch

    from b2scvr.engine.evaluate import evaluate
    from b2scvr.engine.evaluation_report import as_json, markdown
    from b2scvr.engine.protocol import Protocol
    from b2scvr.engine.recover_benchmark import check_schedules
    from b2scvr.engine.twins import list_sources, name_of

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    weights = None if arguments.checkpoint is None else str(arguments.checkpoint)
    tables, seeds = [], [arguments.seed]
    build = _schedule_builder(arguments.config)
    try:
        check_schedules(arguments.schedule)
        for branch in arguments.branch or [Protocol.branch]:
            protocol = Protocol(
                branch=branch, checkpoint=weights, device=arguments.device, max_pictures=arguments.frames, metrics=()
            )
            clips = list_sources(arguments.footage, branch)
            found = evaluate(clips, seeds, arguments.schedule, protocol, build)
            names = [name_of(clip) for clip in clips]
            first = arguments.schedule[0]
            tables.append(
                as_json(found, protocol, names, seeds) if arguments.json else markdown(found, protocol, leader=first)
            )
    except InputError as error:
        print(f"benchmark.py: {error}", file=sys.stderr)
        return 3
    except (FileNotFoundError, ValueError) as error:
        parser().error(str(error))
    print("\n\n".join(tables))
    return 0


def _schedule_builder(config: Path) -> Callable[[str, Protocol], Recoverer]:
    """Return what makes the recoverer of a schedule: the config's, in the mode and with the option that the name means."""
    from b2scvr.config import load_config
    from b2scvr.engine.recover_benchmark import SPLICE
    from b2scvr.pipeline import Recoverer

    def build(schedule: str, protocol: Protocol) -> Recoverer:
        loaded = load_config(config)
        options = {} if schedule == SPLICE else {"schedule": schedule}
        loaded["frames"] = {**loaded.get("frames", {}), **options}
        mode = "splice" if schedule == SPLICE else "frames"
        return Recoverer(loaded, protocol.checkpoint, protocol.device, mode=mode)

    return build


def _schedules(head: str, found: dict) -> str:
    """One line a schedule; ratios to the first."""
    lines = [
        f"{head:<14}{'CPU s':>9}{'wall s':>9}{'peak MiB':>10}{'times faster':>14}{'memory':>8}{'difference':>12}{'dB':>7}"
    ]
    for name, it in found["measured"].items():
        line = f"{name:<14}{it['cpu_seconds']:>9.1f}{it['seconds']:>9.1f}{it['peak_bytes'] / MEBIBYTE:>10.0f}"
        if name in found["ratios"]:
            line += f"{found['ratios'][name]:>14.2f}{found['memory'][name]:>8.2f}"
        if name in found["difference"]:
            line += f"{found['difference'][name]:>12.1e}{found['psnr'][name]:>7.1f}"
        lines.append(line)
    return "\n".join(lines)


def measure_pipeline(arguments: argparse.Namespace) -> int:
    """Measure the whole path and print; return the exit code."""
    started = time.perf_counter()
    import torch

    from b2scvr.pipeline import Recoverer

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    imported = time.perf_counter()
    try:
        recoverer = Recoverer(
            arguments.config, arguments.checkpoint, arguments.device, arguments.dtype, mode=arguments.mode
        )
    except (FileNotFoundError, ValueError) as error:
        parser().error(str(error))
    request = Request(load_seconds=time.perf_counter() - imported, weights=recoverer.checkpoint)
    with tempfile.TemporaryDirectory(prefix="b2scvr-benchmark-") as folder:
        job = Job(arguments.input, Path(folder) / "result")
        (outcome,) = run([job], request, recoverer, lambda name: nullcontext(_silent))
    if outcome.metrics is None:
        print(f"benchmark.py: {outcome.error}", file=sys.stderr)
        return 3
    seconds = {"import": imported - started, **outcome.metrics["seconds"]}
    found = {
        "frames": outcome.metrics["frames"],
        "seconds": seconds,
        "total_seconds": time.perf_counter() - started,
        "frames_per_second": outcome.metrics["frames_per_second"],
        "peak_memory_bytes": outcome.metrics["peak_memory_bytes"],
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(found) if arguments.json else _table(found))
    return 0


def _silent(stage: str, done: int, total: int) -> None:
    """Show nothing: a display would be measured too."""


def _table(found: dict) -> str:
    rows = [(stage, f"{seconds:8.2f} s") for stage, seconds in found["seconds"].items()]
    rows += [
        ("all of it", f"{found['total_seconds']:8.2f} s"),
        ("frames", f"{found['frames']:8d}"),
        ("frames/s, file to pictures", f"{found['frames_per_second']:8.2f}"),
        ("peak memory", f"{found['peak_memory_bytes'] / MEBIBYTE:8.0f} MiB"),
        ("CPU threads", f"{found['threads']:8d}"),
    ]
    return "\n".join(f"{name:<28}{value}" for name, value in rows)


if __name__ == "__main__":
    sys.exit(main())
