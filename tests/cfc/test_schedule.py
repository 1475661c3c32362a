"""The restorer: right macroblocks stay bit for bit, only what is needed is computed, NumPy in and out."""

import numpy as np
import pytest
import torch

from b2scvr.cfc.schedule import PictureRestorer, bounding_box
from b2scvr.ops.batch import to_tensors
from b2scvr.ops.evidence import CHANNELS
from b2scvr.ops.stacking import stack_candidates
from b2scvr.types import PictureDamage, Surroundings


class Recorder(torch.nn.Module):
    """Answers with white and remembers the shapes that it saw."""

    def restore_picture(self, current, mask, window, **inputs):
        self.mask, self.given = mask, inputs
        self.shapes = {name: tuple(x.shape) for name, x in {"window": window, **inputs}.items()}
        return torch.ones_like(window[:, current])


def around(size=(70, 90), broken=True, candidates=3):
    rng = np.random.default_rng(0)
    height, width = size
    grid = (-(-height // 16), -(-width // 16))
    return Surroundings(
        index=5,
        window=rng.integers(0, 255, (4, *size, 3), dtype=np.uint8),
        current=2,
        distance=np.array([-2, -1, 0, 4], np.float32),
        motion=rng.normal(size=(4, *size, 2)).astype(np.float32),
        candidates=rng.integers(0, 255, (candidates, *size, 3), dtype=np.uint8),
        candidate_valid=np.ones((candidates, *size), np.float32),
        evidence=np.zeros((len(CHANNELS), *grid), np.float32),
        damage_trace=np.zeros(grid, np.float32),
        concealed=np.zeros(grid, bool),
        slice_start=np.zeros(grid, bool),
        broken=broken,
    )


def damage(size=(70, 90), macroblocks=(), pixels=None):
    grid = np.zeros((-(-size[0] // 16), -(-size[1] // 16)), np.float32)
    for row, column, probability in macroblocks:
        grid[row, column] = probability
    return PictureDamage(grid, np.zeros(size, np.float32) if pixels is None else pixels, 1.0)


def test_only_wrong_macroblocks_change():
    given = around()
    out = PictureRestorer(Recorder()).restore(given, damage(macroblocks=[(1, 2, 0.9), (2, 0, 0.2)]))
    assert (out[16:32, 32:48] == 255).all()
    out[16:32, 32:48] = given.decoded[16:32, 32:48]
    np.testing.assert_array_equal(out, given.decoded)


def test_the_mask_is_soft_between_the_thresholds():
    recorder = Recorder()
    PictureRestorer(recorder, surely_right=0.2, surely_wrong=0.6).restore(
        around(), damage(macroblocks=[(0, 0, 0.4), (0, 1, 0.6), (0, 2, 1.0), (0, 3, 0.2)])
    )
    assert recorder.mask[0, 0, 0, [0, 16, 32, 48]].tolist() == pytest.approx([0.5, 1, 1, 0])


def test_pixels_count_where_nothing_was_lost():
    given, pixels = around(broken=False), np.zeros((70, 90), np.float32)
    pixels[3, 4] = 1
    out = PictureRestorer(Recorder()).restore(given, damage(macroblocks=[(4, 5, 1.0)], pixels=pixels))
    assert np.argwhere((out != given.decoded).any(2)).tolist() == [[3, 4]]


def test_no_damage_no_work():
    given = around()
    network = Recorder()
    out = PictureRestorer(network).restore(given, damage())
    np.testing.assert_array_equal(out, given.decoded)
    assert out is not given.decoded
    assert not hasattr(network, "shapes")


def test_only_the_damaged_part_is_computed():
    recorder = Recorder()
    PictureRestorer(recorder, margin=1).restore(around(), damage(macroblocks=[(3, 1, 1.0)]))
    assert recorder.shapes["window"] == (1, 4, 3, 38, 48)
    assert recorder.shapes["motion"] == (1, 4, 2, 38, 48)
    assert recorder.shapes["evidence"] == (1, len(CHANNELS), 3, 3)
    assert recorder.shapes["distance"] == (1, 4)


def test_guesses_are_judged_by_all_that_is_right_of_the_picture():
    given = around()
    given.candidates[1, :16] = given.candidates[0, :16]  # far from the damage this guess is right, and only this one
    wrong = damage(macroblocks=[(4, column, 1.0) for column in range(6)])
    recorder = Recorder()
    PictureRestorer(recorder, margin=1).restore(given, wrong)
    assert "stacked" not in recorder.shapes
    recorder.stack = True
    PictureRestorer(recorder, margin=1).restore(given, wrong)
    rows = slice(48, 70)
    assert recorder.shapes["stacked"] == (1, 3, 22, 90)
    mask = torch.zeros(1, 1, 70, 90)
    mask[..., 64:, :] = 1
    inputs = to_tensors(given)
    whole = stack_candidates(inputs["candidates"][None], inputs["candidate_valid"][None], mask)
    torch.testing.assert_close(recorder.given["stacked"], whole[..., rows, :])


def test_bounding_box_ends_at_the_picture():
    mask = torch.zeros(70, 90)
    mask[69, 17] = 1
    assert bounding_box(mask, 1) == (slice(48, 70), slice(0, 48))
    assert bounding_box(mask, 9) == (slice(0, 70), slice(0, 90))


def test_with_the_network(build):
    given = around()
    restorer = PictureRestorer(build(stack=False))
    out = restorer.restore(given, damage(macroblocks=[(r, c, 1.0) for r in range(2, 5) for c in range(6)]))
    assert out.shape == (70, 90, 3)
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(out[:32], given.decoded[:32])
    assert np.abs(out[32:].astype(int) - given.fill[32:]).mean() < 12  # starts near the fill


@pytest.mark.parametrize("preset", ["official", "corrected"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_with_the_published_network(generator, preset, dtype):
    given = around()
    restorer = PictureRestorer(generator(preset), dtype=dtype)
    out = restorer.restore(given, damage(macroblocks=[(r, c, 1.0) for r in range(2, 5) for c in range(6)]))
    np.testing.assert_array_equal(out[:32], given.decoded[:32])
    assert (out[32:] != given.decoded[32:]).mean() > 0.9


def test_half_precision_is_close(build):
    given, network = around(), build()
    wrong = damage(macroblocks=[(2, 2, 1.0), (3, 3, 1.0)])
    full = PictureRestorer(network).restore(given, wrong)
    half = PictureRestorer(network, dtype=torch.bfloat16).restore(given, wrong)
    assert np.abs(full.astype(int) - half).max() <= 6


def test_thresholds_in_order():
    with pytest.raises(ValueError, match="surely_right < surely_wrong"):
        PictureRestorer(Recorder(), surely_right=0.5, surely_wrong=0.5)
