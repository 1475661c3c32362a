"""One of two processes that train a toy together; started by test_processes.py.

python processes.py CACHE FOLDER first     gradients of a batch that they share; DDP, never stopped; FSDP, never stopped, and
                                           stopped and resumed; each gone on with as the other; DDP, killed
python processes.py CACHE FOLDER second    the killed one, resumed
"""

import importlib.util
import os
import signal
import sys
from pathlib import Path

import torch

from b2scvr.data.dataset import PairDataset
from b2scvr.engine.checkpoint import checkpoint_path, list_checkpoints
from b2scvr.engine.runtime import Runtime
from b2scvr.engine.settings import StageSettings, TrainSettings
from b2scvr.engine.trainer import Trainer

SAVED, STOPPED = 4, 5  # steps
SETTINGS = StageSettings(
    steps=6, batch=4, accumulate=2, lr=1e-2, warmup=2, crop=(64, 64), mirror=True, lr_scale={"first.*": 0.5}
)
RUN = TrainSettings(workers=1, log_every=2, save_every=2, validate_every=3, validate_samples=2, tensorboard=False)


def load_toys():
    """Return the module that holds the toys; it is no package's."""
    spec = importlib.util.spec_from_file_location("toys", Path(__file__).with_name("conftest.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def kill_me():
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt():
    raise KeyboardInterrupt


def share_a_batch(toys, folder):
    """Write each process's gradients of its half of a batch, averaged by hand, and by DDP."""
    runtime = Runtime("fp32", "cpu")
    half = toys.gradient_batch().chunk(2)[runtime.rank]
    for way in ("by_hand", "by_ddp"):
        torch.manual_seed(0)
        network = toys.ToyNetwork().eval()
        model = runtime.prepare(network) if way == "by_ddp" else network
        runtime.backward(toys.gradient_loss(model, half))
        if way == "by_hand":
            runtime.average_gradients(list(network.parameters()))
        gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
        torch.save(gradients, folder / f"{way}_{runtime.rank}.pt")


def train(toys, cache, folder, parallel, resume=None, stop=None):
    """Train to the end, or until `stop` is called in a micro-batch of step STOPPED. resume: the checkpoint of SAVED."""

    class Stage(toys.ToyStage):
        def losses(self, network, batch):
            if stop is not None and self.calls == 2 * (STOPPED - 1) + 1:
                stop()
            return super().losses(network, batch)

    runtime = Runtime("fp32", "cpu", parallel, ("second",) if parallel == "fsdp" else ())
    assert runtime.world == 2
    torch.manual_seed(0)
    trainer = Trainer(toys.ToyNetwork(), Stage(), SETTINGS, RUN, runtime, folder, "{}", "toy")
    if resume is not None:
        trainer.resume(resume)
        assert trainer.step == SAVED
    data = PairDataset(cache, SETTINGS.view)
    assert trainer.fit(data, data)


def main(cache, folder, phase):
    torch.set_num_threads(1)
    toys, folder = load_toys(), Path(folder)
    if phase == "second":
        train(toys, cache, folder / "ddp_stopped", "ddp", resume=list_checkpoints(folder / "ddp_stopped")[-1])
        return
    share_a_batch(toys, folder)
    for parallel in ("ddp", "fsdp"):
        train(toys, cache, folder / parallel, parallel)
    try:
        train(toys, cache, folder / "fsdp_stopped", "fsdp", stop=interrupt)
    except KeyboardInterrupt:
        train(toys, cache, folder / "fsdp_stopped", "fsdp", resume=list_checkpoints(folder / "fsdp_stopped")[-1])
    for before, after in (("ddp", "fsdp"), ("fsdp", "ddp")):
        train(toys, cache, folder / f"{before}_to_{after}", after, resume=checkpoint_path(folder / before, SAVED))
    train(toys, cache, folder / "ddp_stopped", "ddp", stop=kill_me)


if __name__ == "__main__":
    main(*sys.argv[1:])
