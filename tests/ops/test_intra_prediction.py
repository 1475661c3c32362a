"""Intra predictors against clause 8.3 by hand, and which of them is found."""

import numpy as np
import pytest
import torch

from b2scvr.ops.intra_prediction import fit_intra, predictors
from b2scvr.types import PredictionMode

SIZES = (4, 8, 16)


def line(size, left=None, corner=0.0, above=None):
    """The samples around a block: left from the top down, above from the left on."""
    left = np.zeros(size) if left is None else np.asarray(left, float)
    above = np.zeros(2 * size) if above is None else np.asarray(above, float)
    return np.concatenate([left[::-1], [corner], above])


def predicted(size, kind, samples):
    return (predictors(size)[kind] @ samples).reshape(size, size)


@pytest.mark.parametrize("size", SIZES)
def test_what_is_even_stays_even(size):
    matrices = predictors(size)
    assert matrices.shape == (4 if size == 16 else 9, size * size, 3 * size + 1)
    assert np.allclose(matrices.sum(axis=-1), 1, atol=1e-6)


@pytest.mark.parametrize("size", (4, 16))
def test_vertical_horizontal_and_dc(size):
    ramp = np.arange(size, dtype=float)
    samples = line(size, left=10 + ramp, above=[*(50 + ramp), *np.zeros(size)])
    assert np.allclose(predicted(size, 0, samples), 50 + ramp[None])
    assert np.allclose(predicted(size, 1, samples), 10 + ramp[:, None])
    assert np.allclose(predicted(size, 2, samples), 30 + ramp.mean(), atol=1e-4)


def test_diagonals_of_4x4_as_the_standard_writes_them():
    """Clauses 8.3.1.2.4 to 8.3.1.2.9."""
    left, corner, above = [3.0, 7, 1, 9], 5.0, [2.0, 8, 4, 6, 10, 0, 12, 14]
    samples = line(4, left, corner, above)
    down_left, down_right, right, down, vertical_left, up = (predicted(4, kind, samples) for kind in range(3, 9))
    assert down_left[0, 0] == (above[0] + 2 * above[1] + above[2]) / 4
    assert down_left[3, 3] == (above[6] + 3 * above[7]) / 4
    assert down_right[0, 0] == (left[0] + 2 * corner + above[0]) / 4
    assert down_right[0, 2] == (above[0] + 2 * above[1] + above[2]) / 4
    assert down_right[2, 0] == (left[2] + 2 * left[1] + left[0]) / 4
    assert right[0, 0] == (corner + above[0]) / 2
    assert right[1, 0] == (left[0] + 2 * corner + above[0]) / 4
    assert right[3, 0] == (left[2] + 2 * left[1] + left[0]) / 4
    assert down[0, 0] == (corner + left[0]) / 2
    assert down[0, 3] == (above[2] + 2 * above[1] + above[0]) / 4
    assert vertical_left[0, 1] == (above[1] + above[2]) / 2
    assert vertical_left[3, 3] == (above[4] + 2 * above[5] + above[6]) / 4
    assert up[0, 0] == (left[0] + left[1]) / 2
    assert up[2, 1] == (left[2] + 3 * left[3]) / 4
    assert up[3, 3] == left[3]


def test_plane_continues_a_plane():
    x, y = np.arange(-1, 16), np.arange(-1, 16)
    values = 100 + 2.0 * x[None] - 3.0 * y[:, None]
    samples = line(16, values[1:, 0], values[0, 0], [*values[0, 1:], *np.zeros(16)])
    assert np.allclose(predicted(16, 3, samples), values[1:, 1:], atol=0.5)  # 5/64 stands for 1/13


def test_8x8_smooths_its_line_first():
    above = np.zeros(16)
    above[3] = 4.0
    assert predicted(8, 0, line(8, above=above))[5].tolist() == [0, 0, 1, 2, 1, 0, 0, 0]


def scene(mode, seed=0, batch=1):
    """Pictures of 3x3 macroblocks with the middle one in `mode`, the others inter."""
    generator = torch.Generator().manual_seed(seed)
    luma = torch.randint(0, 256, (batch, 48, 48), generator=generator).float()
    modes = torch.full((batch, 3, 3), int(PredictionMode.PAST))
    modes[:, 1, 1] = mode
    return luma, modes


@pytest.mark.parametrize("kind", [0, 1])
def test_the_predictor_that_explains_the_block_carries_the_correction(kind):
    luma, modes = scene(PredictionMode.INTRA_16X16)
    row, column = luma[:, 15:16, 16:32], luma[:, 16:32, 15:16]
    luma[:, 16:32, 16:32] = row if kind == 0 else column
    correction = torch.rand((1, 3, 48, 48))
    found = fit_intra(luma, modes).spread(correction)
    expected = correction[..., 15:16, 16:32] if kind == 0 else correction[..., 16:32, 15:16]
    assert torch.allclose(found[..., 16:32, 16:32], expected.expand(1, 3, 16, 16), atol=1e-3)
    outside = torch.ones(48, 48, dtype=torch.bool)
    outside[16:32, 16:32] = False
    assert torch.equal(found[..., outside], correction[..., outside])


def test_blocks_of_4x4_predict_from_one_another():
    luma, modes = scene(PredictionMode.INTRA_NXN)
    luma[:, 16:32, 16:32] = luma[:, 15:16, 16:32]
    correction = torch.rand((1, 3, 48, 48))
    correction[..., 16:32, 16:32] = 7  # of no meaning
    found = fit_intra(luma, modes).spread(correction)
    expected = correction[..., 15:16, 16:32].expand(1, 3, 16, 16)
    assert torch.allclose(found[..., 16:32, 16:32], expected, atol=1e-2)


def test_pictures_of_a_batch_do_not_mix():
    luma, modes = scene(PredictionMode.INTRA_NXN, batch=2)
    modes[1, 0, 2] = PredictionMode.INTRA_16X16
    correction = torch.rand((2, 3, 48, 48))
    together = fit_intra(luma, modes).spread(correction)
    for n in range(2):
        alone = fit_intra(luma[n : n + 1], modes[n : n + 1]).spread(correction[n : n + 1])
        assert torch.allclose(together[n : n + 1], alone, atol=1e-6)


@pytest.mark.parametrize("size", [(48, 48), (41, 45)])
def test_pictures_all_intra_have_nothing_to_predict_from(size):
    luma = torch.rand((1, *size)) * 255
    modes = torch.full((1, 3, 3), int(PredictionMode.INTRA_NXN))
    assert not fit_intra(luma, modes).spread(torch.ones((1, 3, *size))).any()


def test_without_intra_macroblocks_there_is_no_fit():
    luma, modes = scene(PredictionMode.PCM)  # samples as they are: nothing is predicted
    assert fit_intra(luma, modes) is None


def test_the_gradient_reaches_the_neighbours():
    luma, modes = scene(PredictionMode.INTRA_16X16)
    correction = torch.zeros((1, 1, 48, 48), requires_grad=True)
    fit_intra(luma, modes).spread(correction)[..., 16:32, 16:32].sum().backward()
    assert correction.grad[..., 15, 16:32].any() and not correction.grad[..., 16:32, 16:32].any()
