"""Footage -> data set in BSCV's layout: clips in worker processes, each whole or absent, at any time.

A clip is staged in ROOT/.work/<id>, moved into its places when it is whole, and its record is written last. What a
killed run leaves without a record is replaced by the next one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from b2scvr.data.bscv import layout
from b2scvr.data.bscv.derive import File, Truth, make_truth, make_twin, truth_files, twin_files, twin_record
from b2scvr.data.bscv.records import ClipRecord, checksum_line, gather, read_checksums, read_record, record_text
from b2scvr.data.bscv.settings import BuildSettings, agree_on_settings, clip_seed, versions
from b2scvr.data.bscv.sources import SourceClip, encode_source, source_sha256
from b2scvr.data.workers import WorkerLostError, run_jobs
from b2scvr.types import InputError

TIME_LIMIT_S = 3600.0  # a clip
Progress = Callable[[int, int, str], None]  # clips done, clips in all, a note


@dataclass
class BuildResult:
    """What a build did: numbers of clips, and the sentence of each clip that could not be built."""

    built: int = 0
    kept: int = 0  # whole before
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Shard:
    """Part `number` (from 1) of `count` parts of the clips, decided by their names alone."""

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise ValueError(
                f"shard {self.number}/{self.count}: must lie between 1/{self.count} and {self.count}/{self.count}"
            )

    def holds(self, clip: str) -> bool:
        """Whether the clip called `clip` belongs to this part."""
        return int.from_bytes(hashlib.sha256(clip.encode()).digest()[:8]) % self.count == self.number - 1


def build(
    clips: list[SourceClip],
    root: Path,
    settings: BuildSettings,
    branches: list[str],
    workers: int = 2,
    progress: Progress | None = None,
    time_limit_s: float = TIME_LIMIT_S,
) -> BuildResult:
    """Build `clips` into the data set `root`; clips and branches that are there already are kept.

    A clip that cannot be read, or whose process dies or takes longer than `time_limit_s`, is reported in the result and
    the others go on. Raises InputError when `root` was made with other settings, OSError when it cannot be written to
    (disk full): then nothing is half-written and the same call goes on where it stopped.
    """
    for folder in (layout.RECORDS, layout.WORK):
        (root / folder).mkdir(parents=True, exist_ok=True)
    agree_on_settings(root, settings.validate())
    missing = [(clip, wanted) for clip in clips if (wanted := _missing_branches(root, clip.id, branches))]
    result = BuildResult(kept=len(clips) - len(missing))
    if progress:
        progress(result.kept, len(clips), "")
    jobs = ((clip, root, settings, wanted) for clip, wanted in missing)
    try:
        for (clip, *_), future in run_jobs(build_clip, jobs, workers, time_limit_s=time_limit_s):
            try:
                future.result()
                result.built += 1
            except (InputError, WorkerLostError) as error:
                result.failures.append(f"{clip.id}: {error}")
            if progress:
                done = result.kept + result.built + len(result.failures)
                progress(done, len(clips), f"{len(result.failures)} failed" if result.failures else "")
    finally:
        for clip in clips:
            _remove(root / layout.WORK / clip.id)
    gather(root)
    return result


def build_clip(clip: SourceClip, root: Path, settings: BuildSettings, branches: list[str]) -> None:
    """Build the `branches` of one clip, and its clean files when they are not there yet; its record is written last.

    Raises InputError when the clip cannot be read, OSError when `root` cannot be written to.
    """
    work = root / layout.WORK / clip.id
    _remove(work)
    placed: list[Path] = []
    record = read_record(root, clip.id)
    try:
        truth = _stored_truth(root, record, settings) if record else _new_truth(clip, settings)
        if record is None:
            record = _new_record(clip, truth, settings)
            digest = _stage(work, truth_files(clip.id, truth, settings), layout.truth_checksums(clip.id))
            record.truth = {"checksums": digest, "versions": versions()}
        for name in branches:
            twin = make_twin(truth, name, clip.id, settings)
            files = twin_files(name, clip.id, truth, twin, settings)
            digest = _stage(work, files, layout.branch_checksums(name, clip.id))
            record.branches[name] = twin_record(twin) | {"checksums": digest, "versions": versions()}
        record.branches = dict(sorted(record.branches.items()))
        (work / "record.json").write_text(record_text(record))
        for staged in sorted(work.glob("*/*/*")):
            placed.append(root / staged.relative_to(work))
            _replace(staged, placed[-1])
        os.replace(work / "record.json", layout.record_path(root, clip.id))
    except BaseException:
        for path in placed:
            _remove(path)
        raise
    finally:
        _remove(work)


def _missing_branches(root: Path, clip: str, branches: list[str]) -> list[str]:
    record = read_record(root, clip)
    return [name for name in branches if record is None or name not in record.branches]


def _new_truth(clip: SourceClip, settings: BuildSettings) -> Truth:
    return make_truth(encode_source(clip, settings.size, settings.crf, settings.gop, settings.fps), settings)


def _stored_truth(root: Path, record: ClipRecord, settings: BuildSettings) -> Truth:
    path = layout.truth_stream(record.id)
    listed = read_checksums(root, layout.truth_checksums(record.id), record.truth["checksums"])
    stream = (root / path).read_bytes()
    if hashlib.sha256(stream).hexdigest() != listed[path]:
        raise InputError(f"{root / path}: is not what was written; remove {layout.record_path(root, record.id)}")
    return make_truth(stream, settings)


def _new_record(clip: SourceClip, truth: Truth, settings: BuildSettings) -> ClipRecord:
    height, width = truth.clip.frames.shape[1:3]
    return ClipRecord(
        id=clip.id,
        source=clip.path.name,
        source_sha256=source_sha256(clip),
        pictures=len(truth.clip),
        width=width,
        height=height,
        fps=truth.clip.fps,
        seed=clip_seed(settings.seed, clip.id),
        settings=asdict(settings),
        truth={},
        branches={},
    )


def _stage(work: Path, files: Iterable[File], checksums: str) -> str:
    """Write `files` and the list of their checksums under `work`; return the list's own SHA-256."""
    lines = list(_staged_lines(work, files))
    listed = "".join(lines).encode()
    target = work / checksums
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(listed)
    return hashlib.sha256(listed).hexdigest()


def _staged_lines(work: Path, files: Iterable[File]) -> Iterator[str]:
    folder = None
    for path, content in files:
        target = work / path
        if target.parent != folder:
            folder = target.parent
            folder.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        yield checksum_line(hashlib.sha256(content).hexdigest(), path.split("/", 1)[1])


def _replace(staged: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        shutil.rmtree(target)
    os.replace(staged, target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
