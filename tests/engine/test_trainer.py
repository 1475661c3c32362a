"""The loop: a run that was killed and resumed ends with the same weights, bit for bit, as one that never stopped."""

import csv
import multiprocessing
import operator
import os
import signal
import time
from dataclasses import replace

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from b2scvr.checkpoints.load import read_weights
from b2scvr.data.dataset import PairDataset
from b2scvr.engine import checkpoint
from b2scvr.engine import trainer as trainer_module
from b2scvr.engine.checkpoint import list_checkpoints
from b2scvr.engine.runtime import Runtime
from b2scvr.engine.settings import StageSettings, TrainSettings
from b2scvr.engine.trainer import MAX_SKIPPED, Trainer, TrainingStoppedError
from b2scvr.write.png import read_pictures

SETTINGS = StageSettings(steps=7, batch=2, lr=1e-2, warmup=2, crop=(64, 64), mirror=True, recolour=True, jitter=True)
RUN = TrainSettings(
    workers=0, log_every=1, save_every=3, validate_every=3, validate_samples=2, validate_pictures=0, tensorboard=False
)


@pytest.fixture
def make_trainer(tmp_path, toy_network, toy_stage):
    initial = {name: value.clone() for name, value in toy_network.state_dict().items()}

    def make(name, kill_at=None, settings=SETTINGS, run=RUN, fingerprint='{"network": "toy"}'):
        network = type(toy_network)()
        network.load_state_dict(initial)
        return Trainer(
            network, toy_stage(kill_at), settings, run, Runtime(device="cpu"), tmp_path / name, fingerprint, "toy"
        )

    return make


@pytest.fixture
def data(cache):
    return PairDataset(cache, SETTINGS.view, seed=0)


def assert_same_state(a, b):
    for first, second in ((a.network, b.network), (a.average.network, b.average.network)):
        for (name, x), y in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
            assert torch.equal(x, y), name
    moments = [t.optimizer.state_dict()["state"] for t in (a, b)]
    assert all(torch.equal(moments[0][key]["exp_avg"], moments[1][key]["exp_avg"]) for key in moments[0])


@pytest.mark.parametrize("kill_at", [4, 6, 7])
def test_killed_and_resumed_is_bit_exact(make_trainer, data, kill_at):
    straight = make_trainer("straight")
    assert straight.fit(data, data)
    with pytest.raises(KeyboardInterrupt):
        make_trainer("killed", kill_at).fit(data, data)
    resumed = make_trainer("killed")
    torch.manual_seed(99)  # what happened before must not matter
    resumed.resume(list_checkpoints(resumed.folder)[-1])
    assert resumed.step in (3, 6) and resumed.step < kill_at
    assert resumed.fit(data, data)
    assert_same_state(straight, resumed)
    tables = [[row["error"] for row in csv.DictReader((t.folder / "log.csv").open())] for t in (straight, resumed)]
    assert tables[0] == tables[1] and len(tables[0]) == 7


def in_a_child(work):
    """Do `work` in a process of its own that may die; return its exit code, minus the signal that ended it."""
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join()
    return child.exitcode


def kill_me(*_):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(("where", "last"), [("average.update", 3), ("save_checkpoint", 3), ("log.add", 3)])
def test_killed_by_the_system_anywhere_and_resumed_is_bit_exact(make_trainer, data, where, last):
    run = replace(RUN, workers=2)
    straight = make_trainer("straight", run=run)
    assert straight.fit(data, data)
    killed = make_trainer("killed", run=run)

    def die():
        def at_step_5(work):
            return lambda *a, **k: kill_me() if killed.step >= 5 else work(*a, **k)

        owner, _, name = where.rpartition(".")
        target = operator.attrgetter(owner)(killed) if owner else trainer_module
        setattr(target, name, at_step_5(getattr(target, name)))
        killed.fit(data, data)

    assert in_a_child(die) == -signal.SIGKILL
    resumed = make_trainer("killed", run=run)
    resumed.resume(list_checkpoints(resumed.folder)[-1])
    assert resumed.step == last
    assert resumed.fit(data, data)
    assert_same_state(straight, resumed)


def test_a_worker_that_dies_is_told_and_costs_no_checkpoint(make_trainer, data, cache):
    class Mortal(PairDataset):
        def __getitem__(self, draw):
            return kill_me() if draw.step == 6 else super().__getitem__(draw)

    trainer = make_trainer("run", run=replace(RUN, workers=1, save_every=1))

    def stops():  # in a process of its own: PyTorch goes on telling of the death in whatever runs next
        with pytest.raises(TrainingStoppedError, match="a process that makes samples died"):
            trainer.fit(Mortal(cache, SETTINGS.view))
        os._exit(7)

    assert in_a_child(stops) == 7
    assert list_checkpoints(trainer.folder)  # the worker was four batches ahead
    again = make_trainer("run")
    again.resume(list_checkpoints(again.folder)[-1])
    assert again.fit(data)


def test_a_death_that_is_told_twice_is_one_error(make_trainer):
    told = []

    def second_word(*_):
        told.append(True)
        raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Killed.")

    class Broken:
        def batches(self, *_, **__):
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            raise ConnectionResetError("the pipe broke first")

    before = signal.signal(signal.SIGALRM, second_word)
    try:
        with pytest.raises(TrainingStoppedError, match="a process that makes samples died"):
            make_trainer("run").fit(Broken())
        assert told
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_full_disk_costs_no_earlier_checkpoint(make_trainer, data, monkeypatch):
    trainer = make_trainer("run")

    def full(content, file):
        if trainer.step == 6:
            raise OSError(28, "No space left on device")
        save(content, file)

    save = torch.save
    monkeypatch.setattr(checkpoint.torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        trainer.fit(data)
    assert [path.name for path in list_checkpoints(trainer.folder)] == ["step_00000003.pt"]


def test_curves_and_pictures_are_written_and_a_resumed_run_forgets_what_was_not_saved(make_trainer, data):
    run = replace(RUN, tensorboard=True, validate_pictures=1)
    with pytest.raises(KeyboardInterrupt):
        make_trainer("run", kill_at=6, run=run).fit(data, data)
    trainer = make_trainer("run", run=run)
    trainer.resume(list_checkpoints(trainer.folder)[-1])
    trainer.fit(data, data)
    events = EventAccumulator(str(trainer.folder / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("train/error")] == [1, 2, 3, 4, 5, 6, 7]
    assert [event.step for event in events.Images("validation/0")] == [3, 6, 7]
    names = [path.name for path in sorted((trainer.folder / "pictures").iterdir())]
    assert names == [f"step_{step:08d}_0.png" for step in (3, 6, 7)]
    assert read_pictures(trainer.folder / "pictures").shape == (3, 64, 128, 3)
    rows = list(csv.DictReader((trainer.folder / "log.csv").open()))
    assert all(float(row["loader_samples_per_second"]) > 0 and 0 <= float(row["waiting"]) <= 1 for row in rows)


def test_out_of_time_is_saved_and_goes_on(make_trainer, data):
    straight = make_trainer("straight")
    straight.fit(data)
    stopped = make_trainer("stopped")
    assert not stopped.fit(data, deadline=time.monotonic())
    assert stopped.step == 1 and stopped.last_checkpoint().is_file()
    again = make_trainer("stopped")
    again.resume(stopped.last_checkpoint())
    assert again.fit(data)
    assert_same_state(straight, again)


def test_training_learns_and_the_seed_decides(make_trainer, data):
    long = StageSettings(steps=60, batch=2, lr=3e-2, warmup=2, crop=(64, 64))
    trainer = make_trainer("long", settings=long, run=replace(RUN, log_every=10, save_every=100))
    trainer.fit(data)
    errors = [float(row["error"]) for row in csv.DictReader((trainer.folder / "log.csv").open())]
    assert errors[-1] < 0.5 * errors[0]
    other = make_trainer("other", run=replace(RUN, seed=1))
    other.fit(data)
    same = make_trainer("same")
    same.fit(data)
    assert not torch.equal(other.network.first.weight, same.network.first.weight)


def test_micro_batches_of_equal_size_give_the_gradient_of_the_whole(make_trainer, data):
    settings = StageSettings(steps=2, batch=4, accumulate=2, lr=1e-2, crop=(64, 64))
    trainer = make_trainer("micro", settings=settings)
    assert trainer.fit(data)
    assert trainer.stage.calls == 4


def test_a_checkpoint_of_another_config_is_refused(make_trainer, data):
    make_trainer("run").fit(data)
    other = make_trainer("run", fingerprint='{"network": "another"}')
    with pytest.raises(ValueError, match="belongs to another config: network was 'toy' and is now 'another'"):
        other.resume(list_checkpoints(other.folder)[-1])


def test_validation_keeps_the_best_weights(make_trainer, data):
    trainer = make_trainer("run")
    trainer.fit(data, data)
    rows = list(csv.DictReader((trainer.folder / "validation.csv").open()))
    assert [row["step"] for row in rows] == ["3", "6", "7"]
    assert trainer.best == pytest.approx(max(float(row["negative_error"]) for row in rows), rel=1e-4)
    assert "toy.first.weight" in read_weights(trainer.folder / "best.safetensors")


def test_a_step_without_a_finite_gradient_changes_nothing(make_trainer, data):
    trainer = make_trainer("run")
    before = {name: value.clone() for name, value in trainer.network.state_dict().items() if "norm" not in name}
    trainer.stage.losses = lambda network, batch: {"error": network(batch["target"]).mean() * float("nan")}
    trainer.fit(data)
    assert trainer.skipped == 7
    assert all(torch.equal(trainer.network.state_dict()[name], value) for name, value in before.items())
    trainer.skipped = MAX_SKIPPED - 1
    with pytest.raises(TrainingStoppedError, match="in a row"):
        trainer._update()


def test_a_batch_that_does_not_divide_is_refused(make_trainer):
    with pytest.raises(ValueError, match="does not divide into 2"):
        StageSettings(steps=1, batch=3, accumulate=2, lr=1e-3)
