"""Jobs in worker processes: results, errors, a worker that dies, a caller that dies."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from b2scvr.data.workers import WorkerLostError, run_jobs


def half(number):
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number // 2


def fragile(number, folder):
    (Path(folder) / f"{number}.{os.getpid()}").touch()
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 3:
        time.sleep(60)
    return number


def forever(folder):
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(60)


def test_results_and_errors_belong_to_their_jobs():
    found = {job[0]: future for job, future in run_jobs(half, ((n,) for n in range(5)), workers=2)}
    assert {n: found[n].result() for n in (0, 2, 4)} == {0: 0, 2: 1, 4: 2}
    with pytest.raises(ValueError, match="3 is odd"):
        found[3].result()
    assert list(run_jobs(half, [], workers=2)) == []


def test_jobs_are_taken_as_workers_get_free():
    taken = []

    def jobs():
        for number in range(6):
            taken.append(number)
            yield (2 * number,)

    finished = run_jobs(half, jobs(), workers=1)
    next(finished)
    assert len(taken) <= 2
    finished.close()


def test_a_worker_that_dies_or_hangs_costs_its_own_job_only(tmp_path):
    found = {
        job[0]: future
        for job, future in run_jobs(fragile, ((n, str(tmp_path)) for n in range(6)), workers=2, time_limit_s=5)
    }
    assert {n: found[n].result() for n in (0, 1, 4, 5)} == {n: n for n in (0, 1, 4, 5)}
    for lost in (2, 3):
        with pytest.raises(WorkerLostError, match="died or took longer than 5 s"):
            found[lost].result()


def test_workers_end_with_the_caller(tmp_path):
    code = (
        "import sys; sys.path[:0] = sys.argv[1:3]\n"
        "from b2scvr.data.workers import run_jobs\n"
        "from test_workers import forever\n"
        "if __name__ == '__main__': list(run_jobs(forever, [(sys.argv[3],)], workers=1))\n"
    )
    script = tmp_path / "caller.py"
    script.write_text(code)
    (tmp_path / "started").mkdir()
    paths = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).parent), str(tmp_path / "started")]
    caller = subprocess.Popen([sys.executable, str(script), *paths])
    try:
        worker = int(_wait_for(lambda: next((tmp_path / "started").iterdir(), None)).name)
    finally:
        caller.kill()
        caller.wait()
    _wait_for(lambda: not _alive(worker))


def _wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
