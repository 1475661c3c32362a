"""The record of a clip, which says that it is whole, and the manifest that gathers the records of a data set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from b2scvr.bitstream.damage import branch
from b2scvr.data.bscv import layout
from b2scvr.data.bscv.settings import MASK_DEFINITION, read_settings
from b2scvr.data.cache import write_json
from b2scvr.types import InputError


@dataclass
class ClipRecord:
    """What is in the data set of one clip. `truth` and each entry of `branches` hold "checksums" and "versions"."""

    id: str
    source: str  # its name in the footage
    source_sha256: str
    pictures: int
    width: int
    height: int
    fps: float
    seed: int  # of its damage
    settings: dict[str, Any]
    truth: dict[str, Any]
    branches: dict[str, dict[str, Any]]


def checksum_line(digest: str, path: str) -> str:
    """Return one line of a list of checksums; `path` is relative to the branch's folder."""
    return f"{digest}  {path}\n"


def read_checksums(root: Path, path: str, expected_sha256: str) -> dict[str, str]:
    """Return file (path in the data set) -> SHA-256 of the list at `path`, a path in the data set.

    Raises InputError when the list is missing or is not the one whose SHA-256 is given.
    """
    try:
        content = (root / path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if hashlib.sha256(content).hexdigest() != expected_sha256:
        raise InputError(f"{path}: is not the list of checksums that was written")
    branch_folder = path.split("/")[0]
    lines = (line.split("  ", 1) for line in content.decode().splitlines())
    return {f"{branch_folder}/{name}": digest for digest, name in lines}


def read_record(root: Path, clip: str) -> ClipRecord | None:
    """Return the record of `clip`, None when there is none. Raises InputError when it cannot be understood."""
    path = layout.record_path(root, clip)
    if not path.is_file():
        return None
    try:
        return ClipRecord(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: not the record of a clip ({error}); remove it to build the clip again") from error


def record_text(record: ClipRecord) -> str:
    """Return the record as it stands in its file."""
    return json.dumps(asdict(record), indent=1) + "\n"


def list_records(root: Path) -> list[str]:
    """Return the ids of the clips that are whole, sorted."""
    folder = root / layout.RECORDS
    return sorted(path.name.removesuffix(".json") for path in folder.glob("[!.]*.json"))


def gather(root: Path) -> dict[str, Any]:
    """Write manifest.json, the index (train.json) and the links of each branch from the records; return the manifest.

    Where several machines write to one folder, the last to gather has seen all records. Raises InputError when a record
    was made with other settings than the data set's, OSError when something cannot be written.
    """
    while True:
        clips = list_records(root)
        manifest, indices = _manifest(root, clips)
        for name, index in indices.items():
            layout.link_names(root, name)
            write_json(root / name / layout.INDEX, index)
        write_json(root / layout.MANIFEST, manifest)
        if list_records(root) == clips:
            return manifest


def _manifest(root: Path, clips: list[str]) -> tuple[dict[str, Any], dict[str, dict[str, int]]]:
    """Return the manifest, and of each branch the number of pictures by clip."""
    settings = read_settings(root)
    indices: dict[str, dict[str, int]] = {}
    entries, versions = [], list[dict[str, Any]]()
    for record in _records(root, clips):
        if record.settings != asdict(settings):
            raise InputError(f"{root}: clip {record.id} was built with other settings than the rest: {record.settings}")
        for name, made in record.branches.items():
            indices.setdefault(name, {})[record.id] = record.pictures
            versions += [made["versions"]] if made["versions"] not in versions else []
        digest = hashlib.sha256(layout.record_path(root, record.id).read_bytes()).hexdigest()
        entries.append({"id": record.id, "pictures": record.pictures, "record_sha256": digest})
    models = {
        name: replace(branch(name), gop=settings.gop).as_dict()
        | {"seed": "of each clip", "clips": len(index), "pictures": sum(index.values())}
        for name, index in sorted(indices.items())
    }
    versions.sort(key=lambda found: json.dumps(found, sort_keys=True))
    manifest = {"settings": asdict(settings), "masks": MASK_DEFINITION, "branches": models, "versions": versions}
    return manifest | {"clips": entries}, indices


def _records(root: Path, clips: list[str]) -> Iterator[ClipRecord]:
    for clip in clips:
        if record := read_record(root, clip):
            yield record
