"""Is a data set what its records say: every file hashed, and derived again from the clean streams.

Findings are sentences: `PATH is missing`, `PATH differs from its checksum`, `PATH derives differently`.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from b2scvr.data.bscv import layout
from b2scvr.data.bscv.derive import File, make_truth, make_twin, truth_files, twin_files
from b2scvr.data.bscv.records import ClipRecord, list_records, read_checksums, read_record
from b2scvr.data.bscv.settings import BuildSettings, read_settings, versions
from b2scvr.data.bscv.sources import file_sha256
from b2scvr.data.workers import WorkerLostError, run_jobs
from b2scvr.types import InputError

Progress = Callable[[int, int, str], None]  # clips done, clips in all, a note


def verify(root: Path, derive: bool = True, workers: int = 2, progress: Progress | None = None) -> Iterator[str]:
    """Yield a sentence for everything in the data set `root` that is not as its records and manifest say.

    derive: also make each clip again from its clean stream and compare. Raises InputError when `root` is no data set.
    """
    read_settings(root)
    clips = list_records(root)
    yield from _whole(root, clips)
    found = 0
    for done, (job, future) in enumerate(run_jobs(verify_clip, ((root, clip, derive) for clip in clips), workers), 1):
        try:
            sentences = future.result()
        except WorkerLostError as error:
            sentences = [f"{job[1]}: {error}"]
        found += len(sentences)
        yield from sentences
        if progress:
            progress(done, len(clips), f"{found} differ" if found else "")


def verify_clip(root: Path, clip: str, derive: bool) -> list[str]:
    """Return what is not as recorded of one clip."""
    try:
        record = read_record(root, clip)
        if record is None:
            return [f"{layout.record_path(root, clip).relative_to(root)} is missing"]
        listed = {layout.truth_checksums(clip): record.truth} | {
            layout.branch_checksums(name, clip): made for name, made in record.branches.items()
        }
        expected: dict[str, str] = {}
        for path, made in listed.items():
            expected |= read_checksums(root, path, made["checksums"])
    except InputError as error:
        return [str(error)]
    sentences = [*_hashed(root, expected), *_uncalled(root, expected)]
    if derive and not sentences:
        sentences += _derived(root, record, expected)
    return sentences


def _hashed(root: Path, expected: dict[str, str]) -> Iterator[str]:
    for path, digest in expected.items():
        try:
            if file_sha256(root / path) != digest:
                yield f"{path} differs from its checksum"
        except FileNotFoundError:
            yield f"{path} is missing"
        except OSError as error:
            yield f"{path} cannot be read ({error.strerror})"


def _uncalled(root: Path, expected: dict[str, str]) -> Iterator[str]:
    """Name files in the clip's folders that no list of checksums has."""
    names = defaultdict(set)
    for path in expected:
        folder, name = path.rsplit("/", 1)
        names[folder].add(name)
    for folder, known in names.items():
        if folder.count("/") == 2 and (root / folder).is_dir():  # <branch>/<kind>/<id>
            yield from (
                f"{folder}/{path.name} is in no list of checksums"
                for path in sorted((root / folder).iterdir())
                if path.name not in known
            )


def _derived(root: Path, record: ClipRecord, expected: dict[str, str]) -> list[str]:
    settings = BuildSettings(**record.settings)
    try:
        truth = make_truth((root / layout.truth_stream(record.id)).read_bytes(), settings)
        differing = list(_compare(truth_files(record.id, truth, settings), expected))
        for name in record.branches:
            twin = make_twin(truth, name, record.id, settings)
            differing += _compare(twin_files(name, record.id, truth, twin, settings), expected)
    except InputError as error:
        return [f"{record.id}: cannot be derived again: {error}"]
    made_with = record.truth["versions"]
    here = versions()
    changed = [
        f"{name} {made_with.get(name)} then, {here[name]} now" for name in here if made_with.get(name) != here[name]
    ]
    reason = f" ({'; '.join(changed)})" if changed else ""
    return [f"{path} derives differently{reason}" for path in differing]


def _compare(files: Iterable[File], expected: dict[str, str]) -> Iterator[str]:
    for path, content in files:
        if expected.get(path) != hashlib.sha256(content).hexdigest():
            yield path


def _whole(root: Path, clips: list[str]) -> Iterator[str]:
    """Compare the manifest with the records, and name what lies in the branches without a record."""
    try:
        manifest = json.loads((root / layout.MANIFEST).read_text())
        listed = {entry["id"]: entry["record_sha256"] for entry in manifest["clips"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield f"{layout.MANIFEST} cannot be read ({error}): gather it again"
        listed = {}
    for clip in sorted(listed.keys() | set(clips)):
        path = layout.record_path(root, clip)
        name = path.relative_to(root)
        if clip not in listed:
            yield f"{name} is not in {layout.MANIFEST}: gather it again"
        elif not path.is_file():
            yield f"{name} is missing"
        elif file_sha256(path) != listed[clip]:
            yield f"{name} differs from {layout.MANIFEST}"
    known = set(clips)
    for kind, suffix in layout.CLIP_ENTRIES.items():
        for entry in sorted(root.glob(f"[!.]*/{kind}/*")):
            clip = entry.name.removesuffix(".zip").removesuffix(suffix)
            if clip not in known and not entry.parent.is_symlink():
                yield f"{entry.relative_to(root)} belongs to no record"
