"""The guarded child: results come over whole, and whatever it does is an error of its file alone."""

import importlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from b2scvr.bitstream import guard, reader
from b2scvr.bitstream.guard import run_guarded
from b2scvr.bitstream.specimens import ALL, make, moving_pictures
from b2scvr.types import InputError

ROOT = Path(__file__).resolve().parents[2]


JOBS = """
import mmap, os, sys, time
import numpy as np
from b2scvr.types import InputError

def size_of(source):
    return len(source)

def arrays(source):
    big = np.arange(100_000, dtype=np.int32).reshape(100, 1000)
    return {"big": big, "same": big, "column": big[:, 3], "empty": np.zeros((0, 4)), "name": str(source), "none": None}

def hang(source):
    time.sleep(60)

def spin(source):
    while True:
        pass

def beat(source):
    with source.open("ab", buffering=0) as file:
        while True:
            file.write(b".")
            time.sleep(0.02)

def abort(source):
    os.abort()

def leave(source):
    sys.exit(7)

def fail(source):
    raise KeyError("an error of our own")

def refuse(source):
    raise InputError(f"{source}: is not liked")

def eat_memory(source):
    return np.ones(1 << 45, np.uint8)

def map_memory(source):
    blocks = []
    while True:
        blocks.append(mmap.mmap(-1, 1 << 34))
"""


@pytest.fixture
def jobs(tmp_path_factory, monkeypatch):
    """Functions for the child, in a module that it can import."""
    folder = tmp_path_factory.mktemp("jobs")
    (folder / "guarded_jobs.py").write_text(JOBS)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    yield importlib.import_module("guarded_jobs")
    sys.modules.pop("guarded_jobs")


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.h264"
    path.write_bytes(bytes(4000))
    return path


@pytest.fixture
def nothing_left(tmp_path, monkeypatch):
    """Watches the folder of temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield
    assert not list(folder.iterdir())


def test_results_come_over_whole_and_can_be_written_to(clip, jobs, nothing_left):
    result = run_guarded(jobs.arrays, clip, "clip")
    expected = jobs.arrays(clip)
    for name in ("big", "column", "empty"):
        assert np.array_equal(result[name], expected[name]) and result[name].dtype == expected[name].dtype
    assert result["same"] is result["big"] and result["name"] == str(clip.resolve()) and result["none"] is None
    result["big"][:] = 7
    assert (result["big"] == 7).all() and np.array_equal(run_guarded(jobs.arrays, clip, "clip")["big"], expected["big"])


def test_a_stream_in_memory_goes_in_as_it_is(jobs, nothing_left):
    assert run_guarded(jobs.size_of, b"\x00\x01" * 70_000, "stream") == 140_000
    assert run_guarded(jobs.size_of, b"", "stream") == 0


def test_without_memory_files_too(clip, jobs, nothing_left, monkeypatch):
    monkeypatch.delattr(os, "memfd_create")
    assert np.array_equal(run_guarded(jobs.arrays, clip, "clip")["big"], jobs.arrays(clip)["big"])


@pytest.mark.parametrize(
    ("function", "limit", "reason"),
    [
        ("hang", 1, r"took longer than 1 s and was stopped; decode a shorter part"),
        ("spin", 1, r"took longer than 1 s and was stopped"),
        ("abort", 30, r"the decoder crashed on this file \(SIGABRT\); decode a shorter part"),
        ("leave", 30, r"crashed on this file \(exit status 7\)"),
        ("fail", 30, r"crashed on this file \(KeyError: 'an error of our own'\)"),
        ("eat_memory", 30, r"needs more than the \d+\.\d GiB of memory it may use; decode a shorter part"),
        ("map_memory", 30, r"(needs more than the|crashed on this file \(OSError: .*Cannot allocate memory\))"),
    ],
)
def test_whatever_the_child_does_is_an_error_of_its_file(clip, jobs, nothing_left, function, limit, reason):
    with pytest.raises(InputError, match=reason) as told:
        run_guarded(getattr(jobs, function), clip, "clip.h264", limit)
    assert str(told.value).startswith("clip.h264: ") and "\n" not in str(told.value)


@pytest.fixture
def started(monkeypatch):
    """Which processes the guard starts."""
    found, popen = [], subprocess.Popen
    monkeypatch.setattr(guard.subprocess, "Popen", lambda *a, **k: found.append(popen(*a, **k)) or found[-1])
    monkeypatch.setattr(guard, "_nurseries", defaultdict(list))
    return found


def test_one_process_imports_for_all_jobs_of_a_module(clip, jobs, started):
    guard.prepare(jobs.size_of)
    guard.prepare(jobs.refuse)  # the same module
    assert run_guarded(jobs.size_of, b"abc", "stream") == 3
    with pytest.raises(InputError, match="SIGABRT"):
        run_guarded(jobs.abort, clip, "clip")
    assert run_guarded(jobs.size_of, b"abcd", "stream") == 4
    assert len(started) == 1 and started[0].poll() is None


def test_a_job_that_is_stopped_works_no_more(clip, jobs, started):
    with pytest.raises(InputError, match="longer than 2 s"):
        run_guarded(jobs.beat, clip, "clip", 2)
    size = clip.stat().st_size
    time.sleep(0.3)
    assert clip.stat().st_size == size > 4000 and started[0].wait(10) == -signal.SIGKILL
    assert run_guarded(jobs.size_of, b"abc", "stream") == 3 and len(started) == 2


def test_a_process_that_is_gone_is_not_asked(jobs, started):
    guard.prepare(jobs.size_of)
    started[0].kill()
    started[0].wait()
    assert run_guarded(jobs.size_of, b"abc", "stream") == 3 and len(started) == 2


def test_one_that_goes_at_work_is_an_error_of_the_file(clip, jobs, started):
    guard.prepare(jobs.size_of)
    threading.Timer(1, lambda: started[0].kill()).start()
    with pytest.raises(InputError, match=r"^clip: the decoder crashed on this file \(SIGKILL\)"):
        run_guarded(jobs.hang, clip, "clip", 50)
    assert run_guarded(jobs.size_of, b"abc", "stream") == 3 and len(started) == 2


def test_what_one_child_says_is_not_told_of_the_next(clip, jobs):
    for reason in ("KeyError: 'an error of our own'", "exit status 7"):
        with pytest.raises(InputError, match=rf"on this file \({reason}\)"):
            run_guarded(jobs.fail if "Key" in reason else jobs.leave, clip, "clip")


def test_threads_have_processes_of_their_own(jobs, started):
    with ThreadPoolExecutor(2) as threads:
        sizes = list(threads.map(lambda n: run_guarded(jobs.size_of, bytes(n), "stream"), range(20)))
    assert sizes == list(range(20)) and len(started) <= 2


def test_processes_are_prepared_for_several_jobs_at_a_time(jobs, started):
    guard.prepare(jobs.size_of, 2)
    guard.prepare(jobs.size_of)
    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(lambda n: run_guarded(jobs.size_of, bytes(n), "stream"), range(6))) == list(range(6))
    assert len(started) == 2


def test_a_fork_leaves_the_process_of_its_parent_alone(jobs, started):
    assert run_guarded(jobs.size_of, b"abc", "stream") == 3
    child = os.fork()
    if not child:
        ended = 1
        try:
            ended = 0 if run_guarded(jobs.size_of, b"abcd", "stream") == 4 else 2
            guard._nurseries.clear()
        finally:
            os._exit(ended)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert run_guarded(jobs.size_of, b"abcde", "stream") == 5 and len(started) == 1


def test_a_prepared_process_ends_with_the_one_that_prepared_it(tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom b2scvr.bitstream import guard, reader\n"
        "guard.prepare(reader.decode); print(*[c.process.pid for cs in guard._nurseries.values() for c in cs], flush=True)"
    )
    ended = subprocess.run([sys.executable, "-X", "dev", "-c", code], capture_output=True, text=True, check=True)
    assert "Warning" not in ended.stderr
    with pytest.raises(ProcessLookupError):
        os.kill(int(ended.stdout), 0)


def test_a_package_of_the_same_name_in_the_working_folder_is_not_taken(tmp_path, clip, jobs, started, monkeypatch):
    (tmp_path / "b2scvr").mkdir()
    (tmp_path / "b2scvr" / "__init__.py").write_text("raise SystemExit(0)")
    monkeypatch.chdir(tmp_path)
    assert run_guarded(jobs.size_of, b"abc", "stream") == 3 and len(started) == 1


def test_a_process_that_ends_well_without_an_answer_is_an_error_too(jobs, started, monkeypatch):
    monkeypatch.setattr(guard.sys, "executable", "/bin/true")
    with pytest.raises(InputError, match=r"crashed on this file \(exit status 1\)"):
        run_guarded(jobs.size_of, b"abc", "stream")


def test_names_of_any_letters(tmp_path, jobs):
    path = tmp_path / "two\nlines \udcff.h264"
    path.write_bytes(bytes(10))
    assert run_guarded(jobs.arrays, path, "clip")["name"] == str(path.resolve())


def test_a_refusal_names_the_file_as_it_was_given(clip, jobs, monkeypatch):
    monkeypatch.chdir(clip.parent)
    with pytest.raises(InputError, match=r"^clip\.h264: is not liked$"):
        run_guarded(jobs.refuse, Path("clip.h264"), "clip.h264")


def test_a_reader_that_is_killed_leaves_nothing(tmp_path):
    path, temporary = tmp_path / "clip.h264", tmp_path / "temporary"
    path.write_bytes(make(ALL["cabac"], moving_pictures()))
    temporary.mkdir()
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import b2scvr\nwhile True: b2scvr.read(sys.argv[1])"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"TMPDIR": str(temporary)}
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], cwd="/", env=environment, stderr=subprocess.PIPE
    )
    time.sleep(1.5)
    assert process.poll() is None, process.stderr.read()  # it reads, installed or not, wherever it was started
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list(temporary.iterdir())


def test_limits_follow_the_file_and_the_machine(clip, jobs, monkeypatch):
    limits = []
    monkeypatch.setattr(guard._Nursery, "run", lambda *work: limits.append(work[-1]) or 1 / 0)
    for size in (0, 100_000, 10**8):
        with clip.open("wb") as file:
            file.truncate(size)
        with pytest.raises(ZeroDivisionError):
            run_guarded(jobs.size_of, clip, "clip")
    assert limits == [60, 160, 1800]
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < guard.memory_limit() <= min(physical // 2, 16 << 30)


def test_a_clip_larger_than_memory_says_how_large(monkeypatch):
    def no_room(*_, **__):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr("b2scvr.bitstream.decoding._touched", no_room)
    with pytest.raises(InputError, match=r"12 pictures of 96x80 need 0\.0 GiB of memory, .* read a shorter part"):
        reader.decode(make(ALL["cabac"], moving_pictures()))
