"""Decoding of files from outside in a child process: a crash, a hang or a memory bomb is that file's error, not the run's."""

from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from b2scvr.types import InputError

TIME_LIMIT_S = 1800
MEMORY_LIMIT_BYTES = 16 << 30


def run_guarded(function: Callable[[Path], Any], path: Path, time_limit_s: float = TIME_LIMIT_S) -> Any:
    """Return `function(path)` as computed in a child process; `function` must be importable by name.

    Raises InputError with the child's own message, or saying that it crashed or ran out of time or memory.
    """
    with tempfile.TemporaryDirectory(prefix="b2scvr-") as folder:
        result = Path(folder) / "result"
        target = f"{function.__module__}:{function.__qualname__}"
        command = [sys.executable, "-m", "b2scvr.bitstream.guard", target, str(path.resolve()), str(path), str(result)]
        try:
            child = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=time_limit_s, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise InputError(f"{path}: decoding took longer than {time_limit_s:.0f} s and was stopped") from error
        if child.returncode == _REFUSED:
            raise InputError(result.read_text())
        if child.returncode != 0 or not result.exists():
            detail = child.stderr.decode(errors="replace").strip().splitlines()
            reason = detail[-1] if detail else f"exit status {child.returncode}"
            raise InputError(f"{path}: the decoder crashed on this file ({reason})")
        with result.open("rb") as stream:
            return pickle.load(stream)  # written by our own child a moment ago, in a folder that only we can read


_REFUSED = 3


def _child(target: str, path: str, name: str, result: str) -> int:
    """Run `target` (module:function) on `path`; write its pickled result, or the message of the InputError."""
    import importlib
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    module, _, function = target.partition(":")
    try:
        value = getattr(importlib.import_module(module), function)(Path(path))
    except InputError as error:
        Path(result).write_text(str(error).replace(path, name))
        return _REFUSED
    with Path(result).open("wb") as stream:
        pickle.dump(value, stream, protocol=pickle.HIGHEST_PROTOCOL)
    return 0


if __name__ == "__main__":
    sys.exit(_child(*sys.argv[1:]))
