"""Interpolation against values worked out by hand from H.264 8.4.2.2."""

import pytest
import torch

from b2scvr.ops.motion_compensation import BILINEAR, MARGIN, SIX_TAP, cells_to_pixels, compensate, half_samples


def picture(height=24, width=32, seed=0, dtype=torch.float64):
    return torch.rand((1, 1, height, width), generator=torch.Generator().manual_seed(seed), dtype=dtype)


def moved(pictures, x, y, taps=SIX_TAP):
    """Every block moved by the same vector."""
    height, width = pictures.shape[-2:]
    grid = (-(-height // 8), -(-width // 8))
    vectors = torch.tensor([x, y], dtype=pictures.dtype).view(1, 2, 1, 1).expand(1, 2, *grid)
    reference = torch.zeros((1, *grid), dtype=torch.int64)
    return compensate(half_samples(pictures, taps), vectors, reference, (height, width))


def at(pictures, x, y):
    """A sample with clamped coordinates."""
    height, width = pictures.shape[-2:]
    return pictures[0, 0, min(max(y, 0), height - 1), min(max(x, 0), width - 1)]


def six(samples):
    return sum(tap * sample for tap, sample in zip((1, -5, 20, 20, -5, 1), samples, strict=True)) / 32


def halves_by_hand(p, x, y):
    """b, h, j, m, s of the integer sample at (x, y), as in figure 8-4."""
    row = lambda y: six([at(p, x + k, y) for k in range(-2, 4)])  # noqa: E731
    column = lambda x: six([at(p, x, y + k) for k in range(-2, 4)])  # noqa: E731
    return row(y), column(x), six([row(y + k) for k in range(-2, 4)]), column(x + 1), row(y + 1)


def test_a_whole_number_of_samples_moves_the_picture_exactly():
    p = picture()
    assert torch.equal(moved(p, 3, -2)[0, 0, 2:, :-3], p[0, 0, :-2, 3:])
    assert torch.equal(moved(p, 0, 0), p)


@pytest.mark.parametrize("where", [(9, 10), (0, 0), (31, 23), (1, 22)])
def test_all_sixteen_positions_are_those_of_the_standard(where):
    p = picture()
    x, y = where
    b, h, j, m, s = halves_by_hand(p, x, y)
    g, right, down = at(p, x, y), at(p, x + 1, y), at(p, x, y + 1)
    expected = [
        [g, (g + b) / 2, b, (b + right) / 2],  # G a b c
        [(g + h) / 2, (b + h) / 2, (b + j) / 2, (b + m) / 2],  # d e f g
        [h, (h + j) / 2, j, (j + m) / 2],  # h i j k
        [(h + down) / 2, (h + s) / 2, (j + s) / 2, (s + m) / 2],  # n p q r
    ]
    for down_quarters, line in enumerate(expected):
        for right_quarters, value in enumerate(line):
            found = moved(p, right_quarters / 4, down_quarters / 4)[0, 0, y, x]
            assert found == pytest.approx(float(value), abs=1e-12), (right_quarters, down_quarters)


def test_a_step_rings_by_the_six_taps():
    p = torch.zeros((1, 1, 16, 32), dtype=torch.float64)
    p[..., 16:] = 32
    assert moved(p, 0.5, 0)[0, 0, 8, 12:19].tolist() == [0, 1, -4, 16, 36, 31, 32]


def test_the_filter_of_mpeg_is_the_mean_of_neighbours():
    p = picture()
    found = moved(p, 0.5, 0.5, BILINEAR)[0, 0, 5, 7]
    assert found == pytest.approx(float((at(p, 7, 5) + at(p, 8, 5) + at(p, 7, 6) + at(p, 8, 6)) / 4))


@pytest.mark.parametrize("vector", [(-100.25, 0.5), (40.75, 90.5), (-1000, -1000)])
def test_far_outside_stand_the_samples_of_the_border(vector):
    p = picture()
    x, y = vector
    inside = (max(min(x, 32 + MARGIN), -32 - MARGIN), max(min(y, 24 + MARGIN), -24 - MARGIN))
    assert torch.allclose(moved(p, x, y), moved(p, *inside))
    if x < -32 and y < -24:
        assert torch.equal(moved(p, x, y), p[..., :1, :1].expand_as(p))


def test_each_block_reads_its_own_reference_along_its_own_vector():
    references = torch.cat([picture(16, 16, 1), picture(16, 16, 2)])
    vectors = torch.zeros((1, 2, 2, 2), dtype=torch.float64)
    vectors[0, 0, 0, 1], vectors[0, 1, 1, 0] = -8, -8
    reference = torch.tensor([[[0, 1], [1, 0]]])
    found = compensate(half_samples(references), vectors, reference, (16, 16))[0, 0]
    assert torch.equal(found[:8, :8], references[0, 0, :8, :8])
    assert torch.equal(found[:8, 8:], references[1, 0, :8, :8])
    assert torch.equal(found[8:, :8], references[1, 0, :8, :8])
    assert torch.equal(found[8:, 8:], references[0, 0, 8:, 8:])


def test_odd_sizes_and_wrong_ones():
    p = picture(19, 21)
    assert torch.equal(moved(p, 0, 0), p)
    with pytest.raises(ValueError, match="do not fit"):
        compensate(half_samples(p), torch.zeros((1, 2, 2, 3)), torch.zeros((1, 2, 3), dtype=torch.int64), (19, 21))


def test_the_gradient_is_that_of_a_linear_map():
    p = picture(9, 10).requires_grad_()
    vectors = torch.tensor([[0.25, -1.5], [2.75, 0.5]], dtype=torch.float64).view(1, 2, 1, 2).repeat(1, 1, 2, 1)
    reference = torch.zeros((1, 2, 2), dtype=torch.int64)
    assert torch.autograd.gradcheck(lambda q: compensate(half_samples(q), vectors, reference, (9, 10)), p)


def test_cells_at_pixels():
    cells = torch.arange(4).view(2, 2)
    assert cells_to_pixels(cells, (9, 10)).tolist() == [[0] * 8 + [1] * 2] * 8 + [[2] * 8 + [3] * 2]
