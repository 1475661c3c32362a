"""The folder of training samples: made once by worker processes, resumable at any time, read by `PairDataset`.

CACHE/settings.json   what the samples were made with; another run must ask for the same
CACHE/jobs/*.json     one per job (a clip and round), written when all of its samples are there
CACHE/samples/*.npy   see data.sample
CACHE/index.json      all samples of the finished jobs
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from b2scvr.bitstream.video import list_videos
from b2scvr.data.clip_sample import ClipSample, save_clip
from b2scvr.data.pairs import PairDraw, clip_variant, make_samples
from b2scvr.data.sample import SAMPLE_VERSION, TrainingSample, save_sample
from b2scvr.data.workers import WorkerLostError, run_jobs
from b2scvr.types import InputError

Progress = Callable[[int, int, int], None]  # jobs done, jobs in all, samples so far


@dataclass(frozen=True)
class CacheSettings(PairDraw):
    """What the samples of a cache are drawn with."""

    version: int = SAMPLE_VERSION


@dataclass(frozen=True)
class SampleEntry:
    """One sample of the index: a picture with its surroundings, or a whole clip. Sizes in pixels."""

    file: str  # relative to the cache folder
    clip: str
    round: int
    index: int  # display index in its coded clip; 0 for a clip
    broken: bool  # what splice mode restores: lost bits, or predicts from what never arrived; of a clip, some picture
    width: int
    height: int
    pictures: int = 1  # more than one: a clip (data.clip_sample)


# What older caches do not name. Their clean footage was drawn otherwise, so they are not gone on with.
_DEFAULTS: dict[str, object] = {"clips": False, "damage": {}, "moving": 0.0, "passes": 1, "encoder": {}}


class SampleJob(Protocol):
    """What a worker makes at a time: the samples of one clip, in one round. Is sent to it by pickle."""

    @property
    def name(self) -> str:
        """Stem of its files; no two jobs of a cache have the same."""

    @property
    def clip(self) -> str:
        """The clip, for the index."""

    @property
    def round(self) -> int:
        """Which of several treatments of the clip, for the index."""

    def samples(self, settings: CacheSettings) -> Iterator[TrainingSample | ClipSample]:
        """Yield the samples; the same settings give the same ones."""

    def described(self, settings: CacheSettings) -> dict[str, object]:
        """Return what was drawn for them, ready for JSON."""


@dataclass(frozen=True)
class CleanClipJob:
    """One treatment of a clean clip (data.pairs)."""

    path: Path
    round: int

    @property
    def name(self) -> str:
        """See SampleJob."""
        return f"{self.path.stem}_r{self.round:03d}"

    @property
    def clip(self) -> str:
        """See SampleJob."""
        return self.path.name

    def samples(self, settings: CacheSettings) -> Iterator[TrainingSample | ClipSample]:
        """See SampleJob."""
        return make_samples(self.path, settings, self.round)

    def described(self, settings: CacheSettings) -> dict[str, object]:
        """See SampleJob."""
        return {"variant": asdict(clip_variant(self.path, settings, self.round))}


def clean_clip_jobs(footage: Path, rounds: int) -> list[CleanClipJob]:
    """Return the jobs of `rounds` treatments of every clip under `footage`; InputError when there is none."""
    clips = list_videos(footage)
    return [CleanClipJob(clip, number) for number in range(rounds) for clip in clips]


def build_cache(
    jobs: Sequence[SampleJob],
    cache: Path,
    settings: CacheSettings,
    workers: int = 2,
    progress: Progress | None = None,
) -> list[SampleEntry]:
    """Make the samples of `jobs` into the folder `cache` and return the index.

    Finished jobs of an earlier run are kept; nothing is ever half-written, so the build can be killed and started again.
    Raises InputError, when all others are done, for jobs whose clip cannot be used; ValueError when the cache was made
    with other settings.
    """
    for folder in (cache / "jobs", cache / "samples"):
        folder.mkdir(parents=True, exist_ok=True)
    _agree_on_settings(cache, settings)
    missing = [job for job in jobs if not _job_file(cache, job).is_file()]
    done = len(jobs) - len(missing)
    samples = len(write_index(cache))
    failures = []
    if progress:
        progress(done, len(jobs), samples)
    for (job, *_), future in run_jobs(run_job, ((job, cache, settings) for job in missing), workers):
        try:
            samples += future.result()
        except InputError as error:
            failures.append(str(error))
        except WorkerLostError as error:
            failures.append(f"{job.clip}: {error}")
        done += 1
        if progress:
            progress(done, len(jobs), samples)
    entries = write_index(cache)
    if failures:
        raise InputError("\n".join(sorted(failures)))
    return entries


def run_job(job: SampleJob, cache: Path, settings: CacheSettings) -> int:
    """Make the samples of one job; return how many. The job's file is written last. Raises InputError for a bad clip."""
    entries = []
    for sample in job.samples(settings):
        if isinstance(sample, ClipSample):
            name = f"samples/{job.name}_clip.npy"
            save_clip(cache / name, sample)
            count, height, width = sample.visible.shape
            entries.append(SampleEntry(name, job.clip, job.round, 0, True, width, height, count))
            continue
        around = sample.surroundings
        name = f"samples/{job.name}_{around.index:05d}.npy"
        save_sample(cache / name, sample)
        height, width = sample.mask.shape
        entries.append(SampleEntry(name, job.clip, job.round, around.index, sample.restored, width, height))
    record = job.described(settings) | {"samples": [asdict(entry) for entry in entries]}
    write_json(_job_file(cache, job), record)
    return len(entries)


def read_index(cache: Path) -> list[SampleEntry]:
    """Return the samples of a cache; InputError, with the way out, when there is none."""
    path = cache / "index.json"
    if not path.is_file():
        raise InputError(f"{cache}: no training samples there; make them with tools/make_pairs.py FOOTAGE {cache}")
    content = json.loads(path.read_text())
    if content.get("version") != SAMPLE_VERSION:
        raise InputError(f"{cache}: sample version {content.get('version')}, this code reads {SAMPLE_VERSION}")
    entries = [SampleEntry(**entry) for entry in content["samples"]]
    if not entries:
        raise InputError(f"{cache}: its index is empty")
    return entries


def write_index(cache: Path) -> list[SampleEntry]:
    """Gather the finished jobs of `cache` into its index.json and return the samples, in an order that is always the same."""
    samples = [
        entry for job in sorted((cache / "jobs").glob("*.json")) for entry in json.loads(job.read_text())["samples"]
    ]
    write_json(cache / "index.json", {"version": SAMPLE_VERSION, "samples": samples})
    return [SampleEntry(**entry) for entry in samples]


def write_json(path: Path, content: object) -> None:
    """Write JSON in one piece: beside the file, then renamed over it."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_text(json.dumps(content, indent=1))
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _agree_on_settings(cache: Path, settings: CacheSettings) -> None:
    path = cache / "settings.json"
    if not path.is_file():
        write_json(path, asdict(settings))
        return
    found = {**_DEFAULTS, **json.loads(path.read_text())}
    if found != asdict(settings):
        raise ValueError(f"{cache} was made with {found}, asked for is {asdict(settings)}: choose another folder")


def _job_file(cache: Path, job: SampleJob) -> Path:
    return cache / "jobs" / f"{job.name}.json"
