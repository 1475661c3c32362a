#!/usr/bin/env python
"""Mutate small streams of every kind and check what the bitstream layer promises of any input.

    python tools/fuzz.py --seeds 10000 --jobs 2
    python tools/fuzz.py --seeds 1 --start 4711 --keep findings     # one seed again; the file is kept

Promises, for each mutated stream: no exception but the declared ones, no crash and no hang, one output slot per access
unit, the same clip on a second run, pictures told to be intact are the clean decode's, a repaired stream that decodes.
Exit code 0 every promise was kept, 1 one was broken, 2 wrong arguments.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # works without an installed package too

from b2scvr.bitstream.assembly import CodedClip
from b2scvr.bitstream.reader import decode
from b2scvr.data.workers import WorkerLostError, one_thread, run_jobs
from b2scvr.engine.promises import (
    PROMISES,
    UNNOTICED,
    CleanStream,
    Finding,
    Outcome,
    check_mutant,
    clean_stream,
    specimen_of,
)
from b2scvr.types import RecoveredClip

ROOT = Path(__file__).resolve().parents[1]
_BATCH = 20  # seeds a job
_SECONDS_PER_SEED = 30.0
_BROKEN = 1
_SHOWN_EACH = 100  # findings
_NOT_SPLICEABLE = "not spliceable: "


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    it = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    it.add_argument("--seeds", type=int, required=True, metavar="N", help="mutated streams to check")
    it.add_argument("--start", type=int, default=0, metavar="S", help="first seed (default 0)")
    it.add_argument("--jobs", type=int, default=1, metavar="J", help="processes (default 1)")
    it.add_argument("--keep", type=Path, metavar="DIR", help="write the streams that broke a promise here")
    return it


def main(argv: list[str] | None = None) -> int:
    """Check the seeds and print what was found; return the exit code."""
    arguments = parser().parse_args(argv)
    if min(arguments.seeds, arguments.jobs) < 1 or arguments.start < 0:
        parser().error("--seeds and --jobs must be at least 1, --start at least 0")
    if arguments.keep:
        arguments.keep.mkdir(parents=True, exist_ok=True)
    outcomes: list[Outcome] = []
    for outcome in run_seeds(range(arguments.start, arguments.start + arguments.seeds), arguments.jobs):
        outcomes.append(outcome)
        for finding in outcome.findings:
            if finding.promise != UNNOTICED:
                print(f"seed {outcome.seed} ({outcome.specimen}): {finding.promise}: {finding.detail}", flush=True)
        if arguments.keep and any(f.promise != UNNOTICED for f in outcome.findings):
            (arguments.keep / f"{outcome.seed}-{outcome.specimen}.bin").write_bytes(outcome.mutant)
            outcome.mutant = b""
        if sys.stderr.isatty():
            print(f"\r{len(outcomes)} of {arguments.seeds}", end="", file=sys.stderr, flush=True)
    print(summary(outcomes))
    return _BROKEN if any(f.promise != UNNOTICED for o in outcomes for f in o.findings) else 0


def run_seeds(seeds: range, jobs: int) -> Iterator[Outcome]:
    """Yield the outcome of each seed as it comes, from worker processes; one that dies costs the seed at fault."""
    batches = [(seeds[first : first + _BATCH],) for first in range(0, len(seeds), _BATCH)]
    for (batch,), future in run_jobs(check_seeds, batches, jobs, start_worker, _BATCH * _SECONDS_PER_SEED):
        if not isinstance(future.exception(), WorkerLostError):
            yield from future.result()
            continue
        for (single,), alone in run_jobs(
            check_seeds, ((range(s, s + 1),) for s in batch), 1, start_worker, _SECONDS_PER_SEED
        ):
            if isinstance(error := alone.exception(), WorkerLostError):
                lost = Finding("exception", f"crash or hang: {error}")
                yield Outcome(single[0], specimen_of(single[0]), findings=[lost])
            else:
                yield from alone.result()


def start_worker() -> None:
    """Set a worker process up: one thread, and silent encoders and parsers."""
    import torch

    one_thread()
    torch.set_num_threads(1)
    os.environ["SVT_LOG"] = "0"
    logging.disable(logging.CRITICAL)


def check_seeds(seeds: range) -> list[Outcome]:
    """Return the outcomes of a few seeds, in this process."""
    return [_check(seed) for seed in seeds]


def summary(outcomes: list[Outcome]) -> str:
    """Return the table of findings and what became of the streams, as Markdown."""
    seeds = {
        name: sorted({o.seed for o in outcomes for f in o.findings if f.promise == name})
        for name in (*PROMISES, UNNOTICED)
    }
    counts = sum((o.counts for o in outcomes), Counter())
    total = len(outcomes)
    lines = [f"{total} mutated streams", "", "| promise | broken | seeds |", "| --- | --- | --- |"]
    for name in PROMISES:
        shown = " ".join(map(str, seeds[name][:_SHOWN_EACH]))
        lines.append(f"| {name} | {len(seeds[name])} | {shown} |")
    lines += ["", f"damage that passed unnoticed: {len(seeds[UNNOTICED])} ({len(seeds[UNNOTICED]) / total:.1%})"]
    reasons = Counter(
        {key.removeprefix(_NOT_SPLICEABLE): n for key, n in counts.items() if key.startswith(_NOT_SPLICEABLE)}
    )
    for name in sorted(key for key in counts if not key.startswith(_NOT_SPLICEABLE)):
        lines.append(f"{name}: {counts[name]}")
    lines += [f"  {number} x {reason}" for reason, number in reasons.most_common()]
    return "\n".join(lines)


def _check(seed: int) -> Outcome:
    clean = _clean(specimen_of(seed))
    return check_mutant(clean, seed, _recover("splice" if clean.coded.clip.codec == "h264" else "auto"))


@cache
def _clean(name: str) -> CleanStream:
    return clean_stream(name)


@cache
def _recover(mode: str) -> Callable[[CodedClip], RecoveredClip]:
    from b2scvr.config import load_config
    from b2scvr.pipeline import Recoverer

    config = load_config(ROOT / "configs" / "vector_fill.py")
    config["hindsight"] = True
    return Recoverer(config, mode=mode, decode=decode).recover  # this process is guarded already


if __name__ == "__main__":
    sys.exit(main())
