"""Inference: each input is read, recovered, measured and written, or told to be unreadable; the others go on.

read -> [truth, given masks] -> recover -> measure -> write into a folder that is whole or absent
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from b2scvr.bitstream.assembly import CodedClip
from b2scvr.bitstream.cache import save_clip
from b2scvr.bitstream.reader import read_coded
from b2scvr.engine.inputs import Job, UsageError, belonging_to, load_first_mask, load_masks, load_truth
from b2scvr.engine.output import whole_folder
from b2scvr.engine.progress import StageProgress
from b2scvr.engine.run_record import run_record, seed_everything
from b2scvr.engine.write_results import write_results
from b2scvr.metrics.clip import compare
from b2scvr.types import AccessUnitStatus, CorruptionMasks, InputError, ParsedClip, RecoveredClip, SpliceError

STAGES = ("parse", "detect", "recover")
Progress = Callable[[str, int, int], None]


class ClipRecoverer(Protocol):
    """What inference needs of the pipeline."""

    def recover(
        self, coded: CodedClip, given_masks: np.ndarray | None = None, progress: Progress = ...
    ) -> RecoveredClip:
        """Return the clip recovered; given masks are uint8 [T, H, W], 1 = corrupted."""
        ...

    def detect(
        self, coded: CodedClip, progress: Progress = ..., first_mask: tuple[int, np.ndarray] | None = None
    ) -> CorruptionMasks:
        """Return the masks only; first_mask: display index and mask uint8 [H, W] of the first damaged picture."""
        ...


@dataclass
class Request:
    """What is wanted of every input of a run."""

    stage: str = "recover"  # one of STAGES: the last one to do
    truth: Path | None = None  # clean stream or folder of pictures
    masks: Path | None = None  # folder of given masks
    first_mask: Path | None = (
        None  # mask of the first damaged picture, or folder whose first mask that is not empty it is
    )
    arguments: dict[str, object] = field(default_factory=dict)  # for run.json
    config: dict[str, object] | None = None  # resolved, for run.json
    weights: Path | None = None
    load_seconds: float = 0.0  # what loading the models took

    def validate(self) -> Request:
        """Return self; raise UsageError for options that exclude each other."""
        if self.stage not in STAGES:
            raise UsageError(f"stage must be one of {', '.join(STAGES)}, got {self.stage!r}")
        if self.masks is not None and self.stage != "recover":
            raise UsageError(f"--masks gives the masks: nothing is left to do for --stage {self.stage}")
        if self.masks is not None and self.first_mask is not None:
            raise UsageError("--masks gives all masks, --first-mask the first one: pass one of them")
        return self


@dataclass
class Outcome:
    """What became of one input: its metrics, or the one line that says why there are none."""

    job: Job
    metrics: dict[str, object] | None = None
    error: str | None = None


def refuse_existing(jobs: list[Job], overwrite: bool) -> None:
    """Raise UsageError when results would replace earlier ones and that was not asked for."""
    existing = [job.target for job in jobs if job.target.exists()]
    if existing and not overwrite:
        more = f" (and {len(existing) - 1} more)" if len(existing) > 1 else ""
        raise UsageError(f"{existing[0]} exists already{more}: pass --overwrite to replace it, or another --output")


def run(
    jobs: list[Job],
    request: Request,
    recoverer: ClipRecoverer | None,
    watch: Callable[[str], StageProgress],
) -> Iterator[Outcome]:
    """Yield the outcome of each job, in order. `recoverer` None is enough for the stage "parse".

    watch: is called with a job's name and gives the progress display of it, a context manager called as (stage, done,
    total). An input that cannot be read, or cannot be recovered in the mode that was asked for, is an outcome with
    `error`; its folder is left as it was.
    """
    request.validate()
    for job in jobs:
        try:
            with watch(job.name) as progress:
                metrics = _process(job, request, recoverer, progress, alone=len(jobs) == 1)
        except InputError as error:
            yield Outcome(job, error=_one_line(str(error)))
        except SpliceError as error:
            yield Outcome(job, error=_one_line(f"{job.source}: can't be spliced ({error}); use --mode auto or frames"))
        else:
            yield Outcome(job, metrics=metrics)


def _process(
    job: Job, request: Request, recoverer: ClipRecoverer | None, progress: Progress, alone: bool
) -> dict[str, object]:
    seconds: dict[str, float] = {"load": request.load_seconds}
    progress("read", 0, 0)
    with _timed(seconds, "read"):
        coded = read_coded(job.source)
    clip = coded.clip
    truth = load_truth(belonging_to(job, request.truth, alone), coded) if request.truth else None
    given = load_masks(belonging_to(job, request.masks, alone), clip) if request.masks else None
    first = load_first_mask(belonging_to(job, request.first_mask, alone), clip) if request.first_mask else None
    started = time.perf_counter()
    recovered = None
    if request.stage != "parse":
        assert recoverer is not None
        seed_everything()
        recovered = _recover(coded, request.stage, recoverer, given, first, progress, seconds)
    working = seconds["read"] + time.perf_counter() - started
    with whole_folder(job.target) as folder:
        measured: dict[str, object] = {}
        if truth is not None and recovered is not None:
            progress("measure", 0, 0)
            with _timed(seconds, "measure"):
                frames = recovered.frames if request.stage == "recover" else None
                measured = compare(clip.frames, frames, recovered.masks.masks, truth)
        progress("write", 0, 0)
        with _timed(seconds, "write"):
            if recovered is None:
                save_clip(folder / "clip.npz", clip)
            else:
                write_results(folder, job, coded, recovered, measured, pictures=request.stage == "recover")
        metrics = _metrics(clip, recovered, seconds, working) | measured
        metrics["notes"] = [*(recovered.notes if recovered else clip.notes), *_notes(measured)]
        _write_json(folder / "metrics.json", metrics)
        _write_json(folder / "run.json", run_record(job.source, request.arguments, request.config, request.weights))
    return metrics


def _recover(
    coded: CodedClip,
    stage: str,
    recoverer: ClipRecoverer,
    given: np.ndarray | None,
    first: tuple[int, np.ndarray] | None,
    progress: Progress,
    seconds: dict[str, float],
) -> RecoveredClip:
    """Recover, or for the stage "detect" only find the damage; `seconds` takes up what each part took.

    given: the masks; first: the first one, from which the others are tracked before anything is recovered.
    """
    if stage == "recover":
        if first is not None:
            with _timed(seconds, "track"):
                given = recoverer.detect(coded, progress, first).masks
        recovered = recoverer.recover(coded, given, progress)
        seconds |= recovered.seconds
        return recovered
    with _timed(seconds, "detect"):
        masks = recoverer.detect(coded, progress, first)
    return RecoveredClip(coded.clip.frames, masks, "detect", None, (), {}, coded.clip.notes)


def _metrics(
    clip: ParsedClip, recovered: RecoveredClip | None, seconds: dict[str, float], working: float
) -> dict[str, object]:
    """The part of metrics.json that needs no truth. `working`: seconds from the file to the recovered pictures."""
    found: dict[str, object] = {
        "frames": len(clip),
        "lost_access_units": int((clip.status == AccessUnitStatus.LOST).sum()),
        "broken_access_units": int((clip.status == AccessUnitStatus.BROKEN).sum()),
        "dependent_access_units": int((clip.status == AccessUnitStatus.DEPENDENT).sum()),
        "damaged_frames_detected": None if recovered is None else int(recovered.masks.masks.any(axis=(1, 2)).sum()),
        "seconds": {stage: round(value, 4) for stage, value in seconds.items()},
        "frames_per_second": round(len(clip) / working, 3),
        "peak_memory_bytes": peak_memory_bytes(),
    }
    if recovered is not None:
        found |= {"mode": recovered.mode, "restored": list(recovered.restored)}
    return found


def peak_memory_bytes() -> int:
    """Return the most memory that this process, or the largest of its child processes, has held at once."""
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage counts bytes there, KiB on Linux
    return unit * max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _notes(measured: dict[str, object]) -> list[str]:
    notes = measured.get("notes", [])
    assert isinstance(notes, list)
    return notes


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, default=str) + "\n", "utf-8")


def _one_line(text: str) -> str:
    return " ".join(text.split())


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - started
