"""Decoding of what comes from outside in a child process: a crash, a hang or a memory bomb is that file's error, not the run's.

The child gets limits of its own on time and memory, and hands its result over in a memory file that has no name: arrays
are written once and mapped, not copied, by the parent, and nothing is left behind, however either of them dies.
"""

from __future__ import annotations

import json
import mmap
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import weakref
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


class _Child:
    """A process that imports a module and waits for the function to call and its source.

    The function must be found in the module by name; what it returns goes into `result`.
    """

    def __init__(self, module: str, search_path: str) -> None:
        self.owner, self.result = os.getpid(), _memory_file()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "b2scvr.bitstream.guard", module, str(self.result.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": search_path},
            pass_fds=(self.result.fileno(),),
        )
        weakref.finalize(self, _dismiss, self.process, self.result)

    def is_ready(self) -> bool:
        """Whether it can still be used here: it lives, and no fork stands between."""
        return self.owner == os.getpid() and self.process.poll() is None

    def run(self, function: str, given: str, data: bytes, seconds: float) -> str:
        """Hand over the work, wait for its end and return what was said on stderr.

        Raises subprocess.TimeoutExpired, the process killed, when it takes longer.
        """
        head = json.dumps((function, given, int(seconds) + 1, len(data))) + "\n"  # a file's name may hold line ends
        try:
            _, said = self.process.communicate(head.encode() + data, timeout=seconds)
        except BaseException:
            self.process.kill()
            raise
        return said.decode(errors="replace")


_spares: dict[tuple[str, str], _Child] = {}


def run_guarded(
    function: Callable[[Any], Any], source: Path | bytes, name: str, time_limit_s: float | None = None
) -> Any:
    """Return `function(source)` as computed in a child process; `function` must be importable by name.

    source: a file, or a stream in memory. name: what messages call it. time_limit_s: None allows a second for each 1,000
    bytes of the source, at least a minute and at most half an hour. Arrays in the result are private to the caller and
    writable. Raises InputError with the child's own message, or saying that it crashed or ran out of time or memory.

    The process of the next call is started while this one's works (`prepare`).
    """
    if time_limit_s is None:
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        time_limit_s = min(MOST_SECONDS, LEAST_SECONDS + size / BYTES_PER_SECOND)
    given, data = (STDIN, source) if isinstance(source, bytes) else (str(source.resolve()), b"")
    child = _take(function.__module__)
    prepare(function)
    with child.result:
        try:
            said = child.run(function.__qualname__, given, data, time_limit_s)
        except subprocess.TimeoutExpired as error:
            raise InputError(
                f"{name}: decoding took longer than {time_limit_s:.0f} s and was stopped; {_WAY_OUT}"
            ) from error
        status = child.process.returncode
        if status == _REFUSED:
            child.result.seek(0)
            raise InputError(child.result.read().decode().replace(given, name))
        if status == _OUT_OF_MEMORY:
            gibibytes = memory_limit() / (1 << 30)
            raise InputError(
                f"{name}: decoding needs more than the {gibibytes:.1f} GiB of memory it may use; {_WAY_OUT}"
            )
        if status:
            raise InputError(f"{name}: the decoder crashed on this file ({_cause(status, said)}); {_WAY_OUT}")
        return _load(child.result)


def prepare(function: Callable[[Any], Any]) -> None:
    """Start the process that the next `run_guarded` of a function of the same module takes, so that it imports meanwhile.

    Most of a short decode is the start of its process. It waits until it is taken or this process ends.
    """
    place = function.__module__, _search_path()
    if not (place in _spares and _spares[place].is_ready()):
        _spares[place] = _Child(*place)


def _take(module: str) -> _Child:
    place = module, _search_path()
    spare = _spares.pop(place, None)
    return spare if spare is not None and spare.is_ready() else _Child(*place)


def _dismiss(process: subprocess.Popen[bytes], result: BinaryIO) -> None:
    """End a process that is not needed; waiting for it to see its input end could last as long as a fork that holds it."""
    process.kill()
    for file in (process.stdin, process.stderr, result):
        if file is not None:
            file.close()
    process.wait()


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


def _cause(status: int, said: str) -> str:
    if status < 0:
        return signal.Signals(-status).name
    lines = said.strip().splitlines()
    return lines[-1] if lines else f"exit status {status}"


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


def _child(module: str, result: str) -> int:
    """Import `module`, wait for one of its functions and its source, write the function's result or its refusal.

    stdin: one line of JSON, [the function's name, the file (STDIN: what follows), seconds of processor time, the number of
    bytes that follow], then the bytes. Ends at once when there is nothing.
    """
    import importlib
    import resource

    functions = importlib.import_module(module)
    head = sys.stdin.buffer.readline()
    if not head:
        return 0
    name, given, seconds, size = json.loads(head)
    resource.setrlimit(resource.RLIMIT_AS, (memory_limit(), memory_limit()))
    alone = seconds + _GRACE_S  # should the parent be gone; while it is there, it is to be the first
    resource.setrlimit(resource.RLIMIT_CPU, (alone, alone))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with os.fdopen(int(result), "w+b") as file:
        try:
            data = sys.stdin.buffer.read(size)
            _save(file, getattr(functions, name)(data if given == STDIN else Path(given)))
        except InputError as error:
            file.seek(0)
            file.write(str(error).encode())
            return _REFUSED
        except MemoryError:
            return _OUT_OF_MEMORY
    return 0


if __name__ == "__main__":
    sys.exit(_child(*sys.argv[1:]))
