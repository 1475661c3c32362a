"""A network of a few weights, and samples for it."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from torch import nn

from b2scvr.data.cache import SampleEntry, write_json
from b2scvr.data.sample import SAMPLE_VERSION, TrainingSample, save_sample
from b2scvr.ops.evidence import CHANNELS
from b2scvr.types import CANDIDATES, Surroundings


class ToyNetwork(nn.Module):
    """Learns the target from the decoded picture; with dropout, so that random numbers matter."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.gain = nn.Parameter(
            torch.ones(())
        )  # parameters of no axis are a case of their own where weights are spread

    def forward(self, picture):
        return self.gain * self.second(nn.functional.dropout(self.norm(self.first(picture)), 0.3, self.training))


class ToyStage:
    """kill_at: the number of the call to `losses` that ends in KeyboardInterrupt."""

    score = "negative_error"

    def __init__(self, kill_at=None):
        self.calls, self.kill_at = 0, kill_at

    def losses(self, network, batch):
        self.calls += 1
        if self.calls == self.kill_at:
            raise KeyboardInterrupt
        return {"error": (network(batch["candidates"][:, 0]) - batch["target"]).square().mean()}

    def judge(self, network, batch):
        return {"negative_error": -(network(batch["candidates"][:, 0]) - batch["target"]).square().mean()}

    def show(self, network, batch):
        return [network(batch["candidates"][:, 0]), batch["target"]]


def gradient_batch():
    """Four pictures, [4, 3, 16, 16]."""
    return torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def gradient_loss(network, pictures):
    """A mean over pictures, so that the mean of two halves is that of the whole."""
    return (network(pictures) - 1).square().mean()


def small_sample(seed, height=96, width=96):
    rng = np.random.default_rng(seed)
    grid = np.zeros((height // 16, width // 16), bool)
    wrong, starts = grid.copy(), grid.copy()
    wrong[3:], starts[0, 0] = True, True
    pictures = rng.integers(0, 256, (4 + len(CANDIDATES) + 1, height, width, 3), dtype=np.uint8)
    around = Surroundings(
        index=0,
        window=pictures[:4],
        current=2,
        distance=np.array([-2, -1, 0, 1], np.float32),
        motion=np.zeros((4, height, width, 2), np.float32),
        candidates=pictures[4:-1],
        candidate_valid=np.ones((len(CANDIDATES), height, width), np.float32),
        evidence=rng.random((len(CHANNELS), *grid.shape)).astype(np.float32),
        damage_trace=wrong.astype(np.float32),
        concealed=np.roll(wrong, 1, 0) & wrong,
        slice_start=starts,
        broken=True,
    )
    mask = wrong.repeat(16, 0).repeat(16, 1).astype(np.uint8)
    return TrainingSample(around, pictures[-1], mask, wrong)


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training_cache")
    entries = []
    for number in range(5):
        save_sample(folder / f"{number}.npy", small_sample(number))
        entries.append(SampleEntry(f"{number}.npy", "clip", 0, number, True, 96, 96))
    write_json(folder / "index.json", {"version": SAMPLE_VERSION, "samples": [asdict(entry) for entry in entries]})
    return folder


@pytest.fixture
def toy_network():
    torch.manual_seed(0)
    return ToyNetwork()


@pytest.fixture
def toy_stage():
    return ToyStage


@pytest.fixture
def whole_gradients(toy_network):
    """By name, of the batch that two processes share."""
    gradient_loss(toy_network.eval(), gradient_batch()).backward()
    return {name: parameter.grad for name, parameter in toy_network.named_parameters()}
