"""Configs: Python files with inheritance (MMEngine), changed from the command line by `key.sub=value`."""

from __future__ import annotations

import ast
from pathlib import Path

from mmengine.config import Config
from mmengine.config.config import DictAction


def load_config(path: str | Path, options: list[str] | None = None) -> Config:
    """Return the config at `path` with `options` ("key.sub=value") applied.

    Raises FileNotFoundError for a missing file, ValueError for one that is no config and for an option that is not
    `key=value`.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"config not found: {path}")
    try:
        config = Config.fromfile(str(path))
    except Exception as error:  # it is a program: anything can be wrong with it
        raise ValueError(f"{path}: not a config that can be read ({type(error).__name__}: {error})") from error
    changes = {}
    for option in options or []:
        key, separator, value = option.partition("=")
        if not separator or not key:
            raise ValueError(f"--cfg-options takes key=value, got {option!r}")
        try:
            changes[key] = ast.literal_eval(value) if value.startswith("{") else DictAction._parse_iterable(value)
        except (AssertionError, SyntaxError, ValueError) as error:  # of brackets and quotes
            raise ValueError(f"--cfg-options {option}: {error}") from error
        except RecursionError as error:  # what is no number, word, list or tuple of them
            raise ValueError(f"--cfg-options {option}: not a value; a dictionary is written {{'key': 1}}") from error
    config.merge_from_dict(changes)
    return config
