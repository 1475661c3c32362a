"""Inference: each input is read, recovered, measured and written, or told to be unreadable; the others go on.

for each part of a file: read -> [truth, given masks] -> recover -> measure -> write, into a folder that is whole or absent
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from b2scvr.bitstream.assembly import CodedClip
from b2scvr.bitstream.cache import save_clip
from b2scvr.bitstream.part import Part, PartMasks, Telling
from b2scvr.bitstream.parts import PERIOD_PIXELS, CodedFile
from b2scvr.engine.inputs import (
    GivenFirstMask,
    GivenMasks,
    Job,
    Truth,
    UsageError,
    belonging_to,
    load_first_mask,
    open_truth,
)
from b2scvr.engine.output import whole_folder
from b2scvr.engine.progress import StageProgress
from b2scvr.engine.run_record import run_record, seed_everything
from b2scvr.engine.write_results import Results, count_pictures
from b2scvr.metrics.clip import Comparison
from b2scvr.types import CorruptionMasks, FirstMask, InputError, Progress, RecoveredClip, SpliceError

STAGES = ("parse", "detect", "recover")


class ClipRecoverer(Protocol):
    """What inference needs of the pipeline."""

    @property
    def needs_clip(self) -> bool:
        """Whether a clip may not come part by part."""
        ...

    @property
    def detects_first(self) -> bool:
        """Whether it finds all damage before it restores any, each picture on its own."""
        ...

    def recover(
        self, coded: CodedClip, given_masks: np.ndarray | None = None, progress: Progress = ...
    ) -> RecoveredClip:
        """Return the clip recovered; given masks are uint8 [T, H, W], 1 = corrupted."""
        ...

    def recover_parts(
        self, parts: Iterable[Part], given: PartMasks | None, telling: Telling, first_mask: FirstMask | None = None
    ) -> Iterator[tuple[Part, RecoveredClip]]:
        """Yield the parts recovered, in order, with given masks, masks tracked from the first one, or blind."""
        ...

    def detect_parts(
        self, parts: Iterable[Part], telling: Telling, first_mask: FirstMask | None = None
    ) -> Iterator[tuple[Part, RecoveredClip]]:
        """Yield the parts with their masks alone."""
        ...

    def detect(
        self, coded: CodedClip, progress: Progress = ..., first_mask: FirstMask | None = None
    ) -> CorruptionMasks:
        """Return the masks of a clip alone."""
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
    seconds, started = {"load": request.load_seconds}, time.perf_counter()
    progress("read", 0, 0)
    with _timed(seconds, "read"):
        file = CodedFile(job.source)
    beside = _beside(job, request, file, alone, seconds)
    with whole_folder(job.target) as folder:
        if request.stage == "parse":
            metrics = _parse(file, folder, seconds)
        else:
            assert recoverer is not None
            with Results(folder, file, pictures=request.stage == "recover") as results:
                metrics = _recover(file, beside, recoverer, results, progress, seconds)
        working = time.perf_counter() - started - sum(seconds.get(stage, 0) for stage in ("measure", "write"))
        metrics |= {
            "seconds": {stage: round(value, 4) for stage, value in seconds.items()},
            "frames_per_second": round(len(file) / working, 3),  # from the file to the recovered pictures
            "peak_memory_bytes": peak_memory_bytes(),
        }
        _write_json(folder / "metrics.json", metrics)
        _write_json(folder / "run.json", run_record(job.source, request.arguments, request.config, request.weights))
    return metrics


def _parse(file: CodedFile, folder: Path, seconds: dict[str, float]) -> dict[str, object]:
    """Write what the bitstream tells of a file; return its part of the metrics."""
    with _timed(seconds, "read"):
        clip = file.whole().coded.clip
    with _timed(seconds, "write"):
        save_clip(folder / "clip.npz", clip)
    return count_pictures(clip.status, None) | {"notes": list(clip.notes)}


@dataclass
class _Beside:
    """What was given beside a damaged file."""

    truth: Truth | None
    masks: GivenMasks | None
    first: GivenFirstMask | None

    @property
    def are_masks_given(self) -> bool:
        """Whether pictures may be damaged that the bitstream says nothing of."""
        return self.masks is not None or self.first is not None


def _beside(job: Job, request: Request, file: CodedFile, alone: bool, seconds: dict[str, float]) -> _Beside:
    with _timed(seconds, "measure"):
        truth = open_truth(belonging_to(job, request.truth, alone), file) if request.truth else None
    masks = GivenMasks(belonging_to(job, request.masks, alone), file) if request.masks else None
    first = load_first_mask(belonging_to(job, request.first_mask, alone), len(file)) if request.first_mask else None
    return _Beside(truth, masks, first)


def _recover(
    file: CodedFile,
    beside: _Beside,
    recoverer: ClipRecoverer,
    results: Results,
    progress: Progress,
    seconds: dict[str, float],
) -> dict[str, object]:
    """Recover a file part by part, or only find its damage; return its metrics. `seconds` takes up what each stage took."""
    comparison, restoring = Comparison(), 0.0
    telling = partial(_telling, progress, len(file))
    for part, recovered in _recovered(file, beside, recoverer, results.pictures, telling, seconds):
        restoring += sum(recovered.seconds.values()) if results.pictures else 0.0
        for stage, spent in recovered.seconds.items():
            seconds[stage] = seconds.get(stage, 0.0) + spent
        if beside.truth is not None:
            telling(part)("measure", 0, 0)
            with _timed(seconds, "measure"):
                _compare(comparison, part, recovered, beside.truth.of(part), results.pictures)
        telling(part)("write", 0, 0)
        with _timed(seconds, "write"):
            results.add(part, recovered)
        del part, recovered  # before the next ones come
    if beside.masks is not None:
        beside.masks.require_marks(results.damaged)
    with _timed(seconds, "write"):
        return results.finish(comparison.summary() if beside.truth is not None else {}, restoring)


def _recovered(
    file: CodedFile,
    beside: _Beside,
    recoverer: ClipRecoverer,
    pictures: bool,
    telling: Telling,
    seconds: dict[str, float],
) -> Iterator[tuple[Part, RecoveredClip]]:
    """Yield the parts of a file recovered, or without `pictures` only with their damage found."""
    # A picture is compared with intact ones, or with those restored before it: of a long period, all or those of this part.
    only_intact = not beside.are_masks_given and (not pictures or recoverer.detects_first)
    period_pixels = None if only_intact else PERIOD_PIXELS
    coming = file.parts(with_before=beside.are_masks_given, period_pixels=period_pixels)
    parts = map(CodedFile.whole, [file]) if recoverer.needs_clip else coming
    read, first_mask = _read_each(parts, seconds), None
    if beside.first is not None:
        read, first_mask = map(beside.first.fitting, read), beside.first.first_mask
    if not pictures:
        return recoverer.detect_parts(read, telling, first_mask)
    given = beside.masks.of if beside.masks is not None else None
    return recoverer.recover_parts(read, given, telling, first_mask)


def _compare(comparison: Comparison, part: Part, recovered: RecoveredClip, clean: np.ndarray, pictures: bool) -> None:
    frames = part.take(recovered.frames) if pictures else None
    comparison.add(part.take(part.coded.clip.frames), frames, part.take(recovered.masks.masks), clean)


def _telling(progress: Progress, count: int, part: Part) -> Progress:
    """Return the progress of a part: it names its pictures where there are others."""
    if len(part) == count:
        return progress
    pictures = f"pictures {part.first} to {part.first + len(part) - 1} of {count}"
    return lambda stage, done, total: progress(f"{pictures}, {stage}", done, total)


def peak_memory_bytes() -> int:
    """Return the most memory that this process, or the largest of its child processes, has held at once."""
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage counts bytes there, KiB on Linux
    return unit * max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, default=str) + "\n", "utf-8")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _read_each(parts: Iterator[Part], seconds: dict[str, float]) -> Iterator[Part]:
    """Yield the parts as they are read; what is done with each begins with the same random numbers."""
    while True:
        with _timed(seconds, "read"):
            part = next(parts, None)
        if part is None:
            return
        seed_everything()
        yield part
        del part  # before the next one comes


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - started
