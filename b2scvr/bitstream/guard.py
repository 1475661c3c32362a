"""Decoding of what comes from outside in a child process: a crash, a hang or a memory bomb is that file's error, not the run's.

The child gets limits of its own on time and memory, and hands its result over in a memory file that has no name: arrays
are written once and mapped, not copied, by the parent, and nothing is left behind, however either of them dies.
"""

from __future__ import annotations

import mmap
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from b2scvr.types import InputError

MOST_MEMORY_BYTES = 16 << 30  # of address space; never more than half of the machine's memory
MOST_SECONDS = 1800.0
LEAST_SECONDS, BYTES_PER_SECOND = 60.0, 1000  # a stream of nothing but skipped pictures has about 30 bytes a picture
_REFUSED, _OUT_OF_MEMORY = 3, 4  # exit codes of the child
STDIN = "-"
_ALIGNMENT = 64
_NUMBER = 8  # bytes of a length in the memory file
_GRACE_S = 30
_WAY_OUT = "decode a shorter part of it, or convert it first"
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def run_guarded(
    function: Callable[[Any], Any], source: Path | bytes, name: str, time_limit_s: float | None = None
) -> Any:
    """Return `function(source)` as computed in a child process; `function` must be importable by name.

    source: a file, or a stream in memory. name: what messages call it. time_limit_s: None allows a second for each 1,000
    bytes of the source, at least a minute and at most half an hour. Arrays in the result are private to the caller and
    writable. Raises InputError with the child's own message, or saying that it crashed or ran out of time or memory.
    """
    if time_limit_s is None:
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        time_limit_s = min(MOST_SECONDS, LEAST_SECONDS + size / BYTES_PER_SECOND)
    with _memory_file() as result:
        given = STDIN if isinstance(source, bytes) else str(source.resolve())
        target = f"{function.__module__}:{function.__qualname__}"
        command = [
            sys.executable,
            "-m",
            "b2scvr.bitstream.guard",
            target,
            given,
            str(result.fileno()),
            str(int(time_limit_s) + 1),
        ]
        try:
            child = subprocess.run(
                command,
                input=source if isinstance(source, bytes) else b"",
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=time_limit_s,
                check=False,
                env=os.environ | {"PYTHONPATH": _search_path()},
                pass_fds=(result.fileno(),),
            )
        except subprocess.TimeoutExpired as error:
            raise InputError(
                f"{name}: decoding took longer than {time_limit_s:.0f} s and was stopped; {_WAY_OUT}"
            ) from error
        if child.returncode == _REFUSED:
            result.seek(0)
            raise InputError(result.read().decode().replace(given, name))
        if child.returncode == _OUT_OF_MEMORY:
            gibibytes = memory_limit() / (1 << 30)
            raise InputError(
                f"{name}: decoding needs more than the {gibibytes:.1f} GiB of memory it may use; {_WAY_OUT}"
            )
        if child.returncode:
            raise InputError(f"{name}: the decoder crashed on this file ({_cause(child)}); {_WAY_OUT}")
        return _load(result)


def memory_limit() -> int:
    """Return how many bytes of address space a child may use: the result exists twice for a moment."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if _CGROUP_LIMIT.is_file() and (told := _CGROUP_LIMIT.read_text().strip()).isdecimal():
        physical = min(physical, int(told))
    return min(MOST_MEMORY_BYTES, physical // 2)


def _memory_file() -> BinaryIO:
    """Return an open file without a name."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("b2scvr"), "w+b")
    return tempfile.TemporaryFile()  # not in every system's memory, but without a name too


def _search_path() -> str:
    """PYTHONPATH with which the child finds this package, installed or not."""
    root = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))


def _cause(child: subprocess.CompletedProcess[bytes]) -> str:
    if child.returncode < 0:
        return signal.Signals(-child.returncode).name
    said = child.stderr.decode(errors="replace").strip().splitlines()
    return said[-1] if said else f"exit status {child.returncode}"


def _save(file: BinaryIO, value: Any) -> None:
    """Write a value: the number of arrays, the sizes of the pickle and of the arrays, the pickle, the arrays."""
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(pickled), *(buffer.raw() for buffer in buffers)]
    for number in (len(buffers), *(part.nbytes for part in parts)):
        file.write(number.to_bytes(_NUMBER, "little"))
    for part in parts:
        file.seek(-file.tell() % _ALIGNMENT, os.SEEK_CUR)
        file.write(part)
    file.truncate(file.tell())


def _load(file: BinaryIO) -> Any:
    """Return what `_save` wrote. Unpickling is safe: our own child wrote it, where nobody else can."""
    view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))  # lives as long as an array of the result
    numbers = view[: _NUMBER * (2 + int.from_bytes(view[:_NUMBER], "little"))].cast("Q").tolist()
    position, parts = view[: _NUMBER * len(numbers)].nbytes, list[memoryview]()
    for size in numbers[1:]:
        position += -position % _ALIGNMENT
        parts.append(view[position : position + size])
        position += size
    return pickle.loads(parts[0], buffers=parts[1:])


def _child(target: str, given: str, result: str, seconds: str) -> int:
    """Run `target` (module:function) on the file `given`, or on what comes from stdin; write its result or its refusal."""
    import importlib
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (memory_limit(), memory_limit()))
    alone = int(seconds) + _GRACE_S  # should the parent be gone; while it is there, it is to be the first
    resource.setrlimit(resource.RLIMIT_CPU, (alone, alone))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    module, _, function = target.partition(":")
    with os.fdopen(int(result), "w+b") as file:
        try:
            value = getattr(importlib.import_module(module), function)(
                sys.stdin.buffer.read() if given == STDIN else Path(given)
            )
            _save(file, value)
        except InputError as error:
            file.seek(0)
            file.write(str(error).encode())
            return _REFUSED
        except MemoryError:
            return _OUT_OF_MEMORY
    return 0


if __name__ == "__main__":
    sys.exit(_child(*sys.argv[1:]))
