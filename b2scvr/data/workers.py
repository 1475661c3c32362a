"""Jobs in worker processes: a few under way at a time, a worker that dies costs its own job only.

The number of jobs does not matter for memory: the next one is taken from `jobs` when a worker is free.
"""

from __future__ import annotations

import faulthandler
import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context
from typing import Any

import cv2

Job = tuple[Any, ...]  # the arguments of one call
Start = Callable[[], None]


class WorkerLostError(Exception):
    """The process that worked on a job died (a crash, no memory) or was stopped because it took too long."""


def one_thread() -> None:
    """Start of a worker that has a core to itself: more threads would only fight."""
    cv2.setNumThreads(1)


def run_jobs(
    function: Callable[..., Any],
    jobs: Iterable[Job],
    workers: int,
    start: Start = one_thread,
    time_limit_s: float | None = None,
) -> Iterator[tuple[Job, Future[Any]]]:
    """Yield each job with its finished future, as they come: `future.result()` is `function(*job)` or raises its error.

    function, start: importable by name; `start` is called once in each of the `workers` processes. A job in whose
    process the interpreter dies, or which takes longer than `time_limit_s`, is done once more by itself; its future then
    raises WorkerLostError if that happens again. Where the caller stops early, jobs under way are finished first.
    The workers end with this process, however it ends.
    """
    waiting = iter(jobs)
    while batch := list(islice(waiting, workers)):
        suspects: list[Job] = []
        with _pool(workers, start) as pool:
            pending = {pool.submit(_limited, function, job, time_limit_s): job for job in batch}
            while pending:
                done, _ = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    job = pending.pop(future)
                    if isinstance(future.exception(), BrokenProcessPool):
                        suspects.append(job)
                        continue
                    for following in islice(waiting, 0 if suspects else 1):
                        try:
                            pending[pool.submit(_limited, function, following, time_limit_s)] = following
                        except BrokenProcessPool:  # since `done` was gathered
                            suspects.append(following)
                    yield job, future
        for job in suspects:
            yield job, _alone(function, job, start, time_limit_s)


def _alone(function: Callable[..., Any], job: Job, start: Start, time_limit_s: float | None) -> Future[Any]:
    with _pool(1, start) as pool:
        future = pool.submit(_limited, function, job, time_limit_s)
        if not isinstance(future.exception(), BrokenProcessPool):
            return future
    lost: Future[Any] = Future()
    limit = "" if time_limit_s is None else f" or took longer than {time_limit_s:.0f} s"
    lost.set_exception(WorkerLostError(f"the process that worked on it died{limit}"))
    return lost


def _pool(workers: int, start: Start) -> ProcessPoolExecutor:
    # Processes are started afresh: forking one that has decoded video copies locked mutexes.
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start, initargs=(start,))


def _start(start: Start) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller's to answer
    threading.Thread(target=_end_with_parent, daemon=True).start()
    start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _limited(function: Callable[..., Any], job: Job, time_limit_s: float | None) -> Any:
    try:
        if time_limit_s is None:
            return function(*job)
        with open(os.devnull, "w") as nowhere:
            # A watchdog of the interpreter's own: it also ends a decoder that never comes back.
            faulthandler.dump_traceback_later(time_limit_s, exit=True, file=nowhere)
            try:
                return function(*job)
            finally:
                faulthandler.cancel_dump_traceback_later()
    finally:
        gc.collect()  # PyAV's frames with side data refer to themselves: many pictures, too few objects to be noticed
