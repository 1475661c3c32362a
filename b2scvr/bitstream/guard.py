"""Decoding of what comes from outside in a child process: a crash, a hang or a memory bomb is that file's error, not the run's.

    this process --- a job: function, source ---> nursery, which has imported the module --- fork ---> child, which works
                 <------------- how it ended ----                        the result, in a memory file -------'

A short decode takes less time than the imports of its process, so these are done once, by a process that does nothing else,
and each job gets a fork of it. The child has limits of its own on time and memory, and hands its result over in a memory
file that has no name: arrays are written once and mapped, not copied, by the parent, and nothing is left behind, however
either of them dies.
"""

from __future__ import annotations

import json
import mmap
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import weakref
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from b2scvr.types import InputError

MOST_MEMORY_BYTES = 16 << 30  # of address space; never more than half of the machine's memory
MOST_SECONDS = 1800.0
LEAST_SECONDS, BYTES_PER_SECOND = 60.0, 1000  # a stream of nothing but skipped pictures has about 30 bytes a picture
_REFUSED, _OUT_OF_MEMORY = 3, 4  # exit codes of the child
_ALIGNMENT = 64
_NUMBER = 8  # bytes of a length in the memory file
_GRACE_S = 30
_WAY_OUT = "decode a shorter part of it, or convert it first"
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
_MOST_HEAD_BYTES = 1 << 16  # of what describes a job


class _Nursery:
    """A process that imports a module and forks a child for each job; it and its children are a process group of their own."""

    def __init__(self, module: str, search_path: str) -> None:
        self.owner, self.said = os.getpid(), _memory_file()
        self.talk, its_end = socket.socketpair()
        itself = ("-P", "-m", "b2scvr.bitstream.guard")  # -P: no module comes from the working folder
        with its_end:
            self.process = subprocess.Popen(
                [sys.executable, *itself, module, str(its_end.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self.said,
                env=os.environ | {"PYTHONPATH": search_path},
                pass_fds=(its_end.fileno(),),
                start_new_session=True,
            )
        weakref.finalize(self, _dismiss, self.owner, self.process, self.talk, self.said)

    def is_ready(self) -> bool:
        """Whether it can be used here: it lives, and no fork stands between."""
        return self.owner == os.getpid() and self.process.poll() is None

    def run(self, job: tuple[str, str], source: BinaryIO, result: BinaryIO, seconds: float) -> tuple[int, str]:
        """Have a child do a job, and return its exit code (negative: the signal that ended it) and what it said on stderr.

        job: the function's name, and the file that it is to read, empty for the bytes in `source`. Raises TimeoutError, all
        processes killed, when it takes longer.
        """
        before = os.fstat(self.said.fileno()).st_size
        try:
            self.talk.settimeout(seconds)
            head = json.dumps((*job, int(seconds) + 1)) + "\n"  # a file's name may hold line ends
            with suppress(BrokenPipeError, ConnectionResetError):  # it ended: no answer comes
                socket.send_fds(self.talk, [head.encode()], [source.fileno(), result.fileno()])
            answer = self._answer()
        except BaseException:
            _kill(self.process)
            raise
        if answer:
            status = int(answer)
        else:  # the nursery ended before its child
            _kill(self.process)
            status = self.process.wait() or 1
        end = os.fstat(self.said.fileno()).st_size
        said = os.pread(self.said.fileno(), _MOST_HEAD_BYTES, max(before, end - _MOST_HEAD_BYTES))
        return status, said.decode(errors="replace")

    def _answer(self) -> bytes:
        """Return the line that comes back; nothing when the nursery ended instead."""
        with suppress(ConnectionResetError), self.talk.makefile("rb") as lines:
            return lines.readline()
        return b""


_nurseries: defaultdict[tuple[str, str], list[_Nursery]] = defaultdict(list)  # those that wait for a job


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
    given, data = ("", source) if isinstance(source, bytes) else (str(source.resolve()), b"")
    place = function.__module__, _search_path()
    nursery = _take(place)
    with _memory_file() as handed, _memory_file() as result:
        handed.write(data)
        handed.flush()
        try:
            status, said = nursery.run((function.__qualname__, given), handed, result, time_limit_s)
        except TimeoutError as error:
            raise InputError(
                f"{name}: decoding took longer than {time_limit_s:.0f} s and was stopped; {_WAY_OUT}"
            ) from error
        _nurseries[place].append(nursery)
        if status == _REFUSED:
            result.seek(0)
            raise InputError(result.read().decode().replace(given or name, name))
        if status == _OUT_OF_MEMORY:
            gibibytes = memory_limit() / (1 << 30)
            raise InputError(
                f"{name}: decoding needs more than the {gibibytes:.1f} GiB of memory it may use; {_WAY_OUT}"
            )
        if status:
            raise InputError(f"{name}: the decoder crashed on this file ({_cause(status, said)}); {_WAY_OUT}")
        return _load(result)


def prepare(function: Callable[[Any], Any], count: int = 1) -> None:
    """Start the processes that `count` calls of `run_guarded` at a time of one module need, so that they import meanwhile."""
    place = function.__module__, _search_path()
    taken = [_take(place) for _ in range(count)]
    _nurseries[place] += taken


def _take(place: tuple[str, str]) -> _Nursery:
    """Return a nursery that waits for a job of this module, a new one where there is none; nobody else gets it."""
    waiting = _nurseries[place]
    while waiting:
        if (found := waiting.pop()).is_ready():
            return found
    return _Nursery(*place)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a nursery and its children."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _dismiss(owner: int, process: subprocess.Popen[bytes], talk: socket.socket, said: BinaryIO) -> None:
    """End a nursery that is not needed any more; a fork of its owner lets go of it only."""
    if owner == os.getpid():
        _kill(process)
        process.wait()
    talk.close()
    said.close()


def memory_limit() -> int:
    """Return how many bytes of address space a child may use: the result exists twice for a moment."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if _CGROUP_LIMIT.is_file() and (told := _CGROUP_LIMIT.read_text().strip()).isdecimal():
        physical = min(physical, int(told))
    return min(MOST_MEMORY_BYTES, physical // 2)


def _memory_file() -> BinaryIO:
    """Return an open file without a name, for two processes to write and read."""
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


def _serve(module: str, talk: socket.socket) -> None:
    """Import `module`, then fork a child for each job that comes, one after the other, and answer with its exit code.

    A job is one line of JSON, [the function's name, the file (empty: what the first descriptor holds), seconds of processor
    time], with two descriptors: the source, and where the result goes. Ends when no more can come.
    """
    import importlib

    functions = importlib.import_module(module)
    while True:
        head, descriptors, _, _ = socket.recv_fds(talk, _MOST_HEAD_BYTES, 2)
        if not head:
            return
        child = os.fork()
        if not child:
            talk.close()  # the nursery's end alone tells that it is there
            os._exit(_work(functions, *json.loads(head), *descriptors))
        for descriptor in descriptors:
            os.close(descriptor)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        talk.sendall(f"{status}\n".encode())


def _work(functions: Any, name: str, given: str, seconds: int, source: int, result: int) -> int:
    """Call a function within limits, write its result or its refusal, and return the exit code of this process."""
    import resource
    import traceback

    try:
        resource.setrlimit(resource.RLIMIT_AS, (memory_limit(), memory_limit()))
        alone = seconds + _GRACE_S  # should the parent be gone; while it is there, it is to be the first
        resource.setrlimit(resource.RLIMIT_CPU, (alone, alone))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with os.fdopen(source, "rb") as file, os.fdopen(result, "w+b") as answer:
            try:
                file.seek(0)
                _save(answer, getattr(functions, name)(Path(given) if given else file.read()))
            except InputError as error:
                answer.seek(0)
                answer.write(str(error).encode())
                return _REFUSED
    except MemoryError:
        return _OUT_OF_MEMORY
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        return 1
    return 0


if __name__ == "__main__":
    _serve(sys.argv[1], socket.socket(fileno=int(sys.argv[2])))
