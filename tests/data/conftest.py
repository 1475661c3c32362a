"""Training samples of known content."""

import numpy as np
import pytest

from b2scvr.data.sample import TrainingSample
from b2scvr.ops.evidence import CHANNELS
from b2scvr.types import CANDIDATES, Surroundings


def random_sample(height=96, width=128, seed=0, broken=True, first_wrong=20):
    """Random pictures; everything from macroblock `first_wrong` on is wrong and all from 10 later on is concealed."""
    rng = np.random.default_rng(seed)
    rows, columns = -(-height // 16), -(-width // 16)
    position = np.arange(rows * columns).reshape(rows, columns)
    window = rng.integers(0, 256, (4, height, width, 3), dtype=np.uint8)
    candidates = rng.integers(0, 256, (len(CANDIDATES), height, width, 3), dtype=np.uint8)
    wrong = position >= first_wrong
    around = Surroundings(
        index=5,
        window=window,
        current=2,
        distance=np.array([-2, -1, 0, 3], np.float32),
        motion=rng.normal(0, 4, (4, height, width, 2)).astype(np.float32),
        candidates=candidates,
        candidate_valid=(rng.integers(0, 2, candidates.shape[:3])).astype(np.float32),
        evidence=rng.normal(size=(len(CHANNELS), rows, columns)).astype(np.float32),
        damage_trace=rng.random((rows, columns)).astype(np.float32),
        concealed=position >= first_wrong + 10,
        slice_start=position == 0,
        broken=broken,
    )
    mask = wrong.repeat(16, 0).repeat(16, 1)[:height, :width].astype(np.uint8)
    target = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return TrainingSample(around, target, mask, wrong)


@pytest.fixture
def make_random_sample():
    return random_sample


@pytest.fixture
def sample():
    return random_sample()
