"""train.py as a user runs it, the real networks: killed at random moments and resumed, it ends as if never stopped.

Takes minutes: pytest -m heavy tests/engine/test_sigkill.py
"""

import csv
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from b2scvr.checkpoints.load import read_weights
from b2scvr.engine.checkpoint import checkpoint_path, load_checkpoint

ROOT = Path(__file__).resolve().parents[2]
STEPS = 6
KILLS = 2  # in each stage
PATIENCE_S = 600  # for one step, on a machine that does much else


def start(cache, work_dir):
    """Start the training of both stages, with workers, in a session of its own."""
    options = [
        "train.workers=2", "train.log_every=1", "train.save_every=2", "train.tensorboard=False", "train.keep=3",
        *(f"stages.{stage}.{key}" for stage in ("detect", "recover") for key in (f"steps={STEPS}", "batch=2", "warmup=2")),
        "stages.recover.accumulate=2", "stages.recover.crop=(64,64)",
    ]  # fmt: skip
    command = [sys.executable, str(ROOT / "train.py"), str(ROOT / "configs" / "b2scvr_tiny.py"), "--device", "cpu"]
    command += ["--data", str(cache), "--work-dir", str(work_dir), "--resume", "auto", "--cfg-options", *options]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, start_new_session=True, env=environment, cwd=ROOT, **quiet)


def logged_steps(log):
    """The steps in a log that another process is writing."""
    rows = list(csv.DictReader(log.open())) if log.is_file() else []
    return [int(row["step"]) for row in rows if row["step"].isdigit()]


def kill_at(run, log, step, delay):
    """Kill all processes of `run`, just started, `delay` seconds after it writes `step` to its log."""
    started, limit = time.time(), time.monotonic() + PATIENCE_S
    while not (log.is_file() and log.stat().st_mtime > started and step in logged_steps(log)):
        assert run.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < limit, f"no step {step}"
        time.sleep(0.01)
    time.sleep(delay)
    os.killpg(run.pid, signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL


def assert_same(found, wanted, name=""):
    """Compare two states bit for bit; how long they took may differ."""
    assert type(found) is type(wanted), name
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys(), name
        for key in wanted.keys() - {"minutes"}:
            assert_same(found[key], wanted[key], f"{name}.{key}")
    elif isinstance(wanted, torch.Tensor):
        assert torch.equal(found, wanted), name
    else:
        assert found == wanted, name


@pytest.mark.heavy
@pytest.mark.parametrize("seed", [0])
def test_killed_at_random_moments_and_resumed_the_weights_are_the_same_bit_for_bit(cache, tmp_path, seed):
    draw = random.Random(seed)
    assert start(cache, tmp_path / "straight").wait() == 0
    for stage in ("detect", "recover"):
        for step in sorted(draw.sample(range(1, STEPS - 1), KILLS)):
            run = start(cache, tmp_path / "killed")
            kill_at(run, tmp_path / "killed" / stage / "log.csv", step, delay=draw.uniform(0, 0.1))
    assert start(cache, tmp_path / "killed").wait() == 0
    straight, killed = (read_weights(tmp_path / name / "weights.safetensors") for name in ("straight", "killed"))
    assert {key.partition(".")[0] for key in straight} == {"dac", "cfc"}
    assert_same(killed, straight)
    for stage in ("detect", "recover"):
        last = (load_checkpoint(checkpoint_path(tmp_path / name / stage, STEPS)) for name in ("killed", "straight"))
        assert_same(*last, name=stage)
