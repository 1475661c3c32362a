"""Configs: Python files with inheritance (MMEngine), changed from the command line by `key.sub=value`."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config
from mmengine.config.config import DictAction


def load_config(path: str | Path, options: list[str] | None = None) -> Config:
    """Return the config at `path` with `options` ("key.sub=value") applied.

    Raises FileNotFoundError for a missing file, ValueError for an option that is not `key=value`.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"config not found: {path}")
    config = Config.fromfile(str(path))
    changes = {}
    for option in options or []:
        key, separator, value = option.partition("=")
        if not separator or not key:
            raise ValueError(f"--cfg-options takes key=value, got {option!r}")
        changes[key] = DictAction._parse_iterable(value)
    config.merge_from_dict(changes)
    return config
