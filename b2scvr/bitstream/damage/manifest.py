"""The record of a damaged file: what was done to which bytes, with what, and doing it again."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence

import numpy as np

from b2scvr import __version__
from b2scvr.bitstream.damage.model import Applied, Edit, apply_changes


def damage_manifest(clean: bytes, damaged: bytes, applied: Sequence[Applied]) -> dict[str, object]:
    """Return the record of `damage_all(clean, ...)`, ready for JSON: versions, both files' size and sha256, the models.

    Each entry of "models" has the model's name, its parameters (the seed among them) and its changes. A change's
    `offset` counts in what the model was given: for the first one the undamaged file, for others what the one before
    left. `replacement` (hexadecimal) stands where bytes other than zeros took the place of the `length` bytes.
    Unlike the seeds, the changes give the same file with every version of Python and NumPy (`replay`).
    """
    return {
        "versions": {"b2scvr": __version__, "python": platform.python_version(), "numpy": np.__version__},
        "clean": _file(clean),
        "damaged": _file(damaged),
        "models": [
            {
                "model": entry.model.name,
                "parameters": entry.model.as_dict(),
                "changes": [change.as_dict() for change in entry.changes],
            }
            for entry in applied
        ],
    }


def replay(clean: bytes, manifest: Mapping[str, object]) -> bytes:
    """Return the damaged file from the undamaged one and the changes of a manifest.

    Raises ValueError for another clean file than the recorded one, a manifest that is none, or changes that do not lead
    to the recorded file.
    """
    try:
        if _file(clean) != manifest["clean"]:
            raise ValueError("the manifest was written for another clean file: the sha256 differ")
        data = clean
        for entry in manifest["models"]:  # type: ignore[attr-defined]
            data = apply_changes(data, [_edit(change) for change in entry["changes"]])
        if _file(data) != manifest["damaged"]:
            raise ValueError("the changes of the manifest lead to another file than the recorded one")
    except (KeyError, TypeError) as error:
        raise ValueError(f"this is no manifest of damage ({type(error).__name__}: {error})") from error
    return data


def _file(data: bytes) -> dict[str, object]:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _edit(change: Mapping[str, object]) -> Edit:
    offset, length = change["offset"], change["length"]
    if not isinstance(offset, int) or not isinstance(length, int):
        raise TypeError(f"offset {offset!r} and length {length!r}")
    if change["kind"] == "zeroed":
        return Edit(offset, length, bytes(length))
    return Edit(offset, length, bytes.fromhex(str(change.get("replacement", ""))))
