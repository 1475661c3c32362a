"""What a training run is, so that a checkpoint of another one is told before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping

LISTED = 5  # differences named in a message


def differences(found: Mapping[str, object], wanted: Mapping[str, object], defaults: Mapping[str, object]) -> list[str]:
    """Return in words where the run of a checkpoint, `found`, is not the run `wanted`; both hold what JSON can hold.

    defaults: values, by dotted key, of what a checkpoint that is older than the setting does not name.
    """
    old, new = {**defaults, **_flat(found)}, {**defaults, **_flat(wanted)}
    keys = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    told = [f"{key} was {old.get(key)!r} and is now {new.get(key)!r}" for key in keys[:LISTED]]
    return told if len(keys) <= LISTED else [*told, f"{len(keys) - LISTED} more"]


def _flat(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + str(key)] = list(value) if isinstance(value, tuple) else value
    return flat
