"""Two processes on the CPU (gloo), with the variables that torchrun sets: killed and resumed, the weights are the same."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from b2scvr.engine.checkpoint import list_checkpoints, load_checkpoint

PROGRAM = Path(__file__).with_name("processes.py")
ROOT = Path(__file__).resolve().parents[2]


def launch(*arguments):
    """Run PROGRAM as two processes that know each other; return their exit codes and what they said."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    base = {**os.environ, **shared, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, str(PROGRAM), *map(str, arguments)]
    started = [
        subprocess.Popen(
            command, env={**base, "RANK": rank, "LOCAL_RANK": rank}, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
        for rank in ("0", "1")
    ]
    said = [process.communicate()[1] for process in started]
    return [process.returncode for process in started], "\n".join(said)


def flat(state, name=""):
    if isinstance(state, dict):
        return {key: value for part, inner in state.items() for key, value in flat(inner, f"{name}.{part}").items()}
    return {name: state}


@pytest.fixture(scope="module")
def runs(cache, tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    codes, said = launch(cache, folder, "first")
    assert codes == [-signal.SIGKILL] * 2, said
    assert list_checkpoints(folder / "ddp_stopped")[-1].name == "step_00000004.pt"
    codes, said = launch(cache, folder, "second")
    assert codes == [0, 0], said
    return folder


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_stopped_and_resumed_are_bit_exact(runs, parallel):
    names = (parallel, f"{parallel}_stopped")
    straight, stopped = (flat(load_checkpoint(runs / name / "step_00000006.pt")) for name in names)
    compared = [key for key in straight if key.startswith((".network", ".average", ".optimizer.state"))]
    assert straight.keys() == stopped.keys() and len(compared) > 20
    for key in compared:
        assert torch.equal(straight[key], stopped[key]), key
    assert straight[".best"] == stopped[".best"]


@pytest.mark.parametrize("way", ["by_hand", "by_ddp"])
def test_averaged_gradients_are_those_of_one_process_with_the_whole_batch(runs, whole_gradients, way):
    first, second = (torch.load(runs / f"{way}_{rank}.pt") for rank in (0, 1))
    assert first.keys() == whole_gradients.keys()
    for name, gradient in whole_gradients.items():
        assert torch.equal(first[name], second[name]), name
        assert torch.allclose(first[name], gradient, rtol=1e-4, atol=1e-6) and gradient.abs().max() > 1e-4, name


@pytest.mark.parametrize(("before", "after"), [("ddp", "fsdp"), ("fsdp", "ddp")])
def test_a_run_goes_on_in_the_other_way_of_sharing_a_network(runs, before, after):
    crossed, straight = (load_checkpoint(runs / name / "step_00000006.pt") for name in (f"{before}_to_{after}", before))
    for part in ("network", "average"):
        assert crossed[part].keys() == straight[part].keys()
        for name, weight in crossed[part].items():
            near = torch.allclose(weight.float(), straight[part][name].float(), atol=1e-3)
            assert near or name == "first.bias", name  # see below
    moments = crossed["optimizer"]["state"].values()
    assert moments and all(float(of_one["step"]) == 6 for of_one in moments)
    assert len(moments) == len(straight["optimizer"]["state"])


def test_whole_and_spread_networks_learn_the_same(runs):
    whole, spread = (load_checkpoint(runs / name / "step_00000006.pt")["network"] for name in ("ddp", "fsdp"))
    assert whole.keys() == spread.keys()
    for name, weight in whole.items():
        assert weight.shape == spread[name].shape
        # The bias before a normalisation has no gradient but what rounding leaves, which Adam makes large.
        assert name == "first.bias" or torch.allclose(weight.float(), spread[name].float(), atol=1e-3), name
