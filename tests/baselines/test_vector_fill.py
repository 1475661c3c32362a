import numpy as np
import pytest

from b2scvr.baselines import ConcealedMacroblocks, VectorFill
from b2scvr.types import CANDIDATES, MB_SIZE, Surroundings


@pytest.fixture
def around():
    rng = np.random.default_rng(0)
    height, width = 40, 56
    grid = (3, 4)
    return Surroundings(
        index=0,
        window=np.zeros((4, height, width, 3), np.uint8),
        current=2,
        distance=np.zeros(4, np.float32),
        motion=np.zeros((4, height, width, 2), np.float32),
        candidates=rng.integers(0, 255, (len(CANDIDATES), height, width, 3), np.uint8),
        candidate_valid=np.ones((len(CANDIDATES), height, width), np.float32),
        evidence=np.zeros((20, *grid), np.float32),
        damage_trace=np.zeros(grid, np.float32),
        concealed=np.zeros(grid, bool),
        slice_start=np.zeros(grid, bool),
        broken=True,
    )


def test_what_was_concealed_is_damaged(around):
    around.concealed[2, 1:] = True
    damage = ConcealedMacroblocks().detect(around)
    assert np.array_equal(damage.macroblocks > 0, around.concealed)
    assert damage.mask.shape == (40, 56) and damage.mask[2 * MB_SIZE :, MB_SIZE:].all() and not damage.mask[:32].any()


def test_damage_that_the_decoder_did_not_notice_is_the_end_of_a_slice_that_differs_from_the_fill(around):
    around.candidates[:] = 100
    around.slice_start[0, 0] = around.slice_start[1, 2] = True
    around.candidates[0, 16:32, 48:] = 180  # macroblock 7, the second of the second slice, and all behind it
    around.candidates[0, 32:] = 180
    damage = ConcealedMacroblocks().detect(around)
    assert np.flatnonzero(damage.macroblocks).tolist() == [7, 8, 9, 10, 11]
    around.candidates[0] = 103
    assert not ConcealedMacroblocks().detect(around).macroblocks.any()


def test_in_dependents_the_trace_says(around):
    around.broken = False
    around.damage_trace[0, 0], around.damage_trace[1, 1] = 0.7, 0.3
    damage = ConcealedMacroblocks(trace_threshold=0.5).detect(around)
    assert damage.macroblocks[0, 0] == 1 and damage.macroblocks.sum() == 1


def test_fill_restores_with_the_named_candidate(around):
    damage = ConcealedMacroblocks().detect(around)
    assert np.array_equal(VectorFill().restore(around, damage), around.candidates[-1])
    assert np.array_equal(VectorFill("steady").restore(around, damage), around.candidate("steady"))


def test_an_unknown_candidate_is_refused(around):
    with pytest.raises(ValueError):
        VectorFill("magic").restore(around, ConcealedMacroblocks().detect(around))
