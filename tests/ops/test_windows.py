"""Windows: partition and its inverse, relative positions, masks of shifted windows, indices of gathered tokens."""

import pytest
import torch

from b2scvr.ops.windows import (
    gather_index,
    merge_windows,
    partition_windows,
    relative_position_index,
    rolled_positions,
    shifted_window_mask,
)


def test_partition_inverts():
    x = torch.rand(2, 6, 8, 3)
    windows = partition_windows(x, (3, 4))
    assert windows.shape == (2, 4, 12, 3)
    torch.testing.assert_close(windows[:, 1, 0], x[:, 0, 4])
    torch.testing.assert_close(merge_windows(windows, (3, 4), (6, 8)), x)


def test_a_grid_that_does_not_tile_is_refused():
    with pytest.raises(ValueError, match="7x8 does not tile"):
        partition_windows(torch.rand(1, 7, 8, 1), (3, 4))


def test_relative_positions():
    index = relative_position_index((2, 3))
    assert index.shape == (6, 6)
    assert index.unique().numel() == 3 * 5
    assert (index.diagonal() == index[0, 0]).all()
    assert index[0, 1] == index[3, 4]  # one to the right, in either row


def test_shifted_windows_see_only_former_neighbours():
    mask = shifted_window_mask((4, 4), (2, 2), (1, 1))
    assert mask.shape == (4, 4, 4)
    assert mask[0].all()  # the upper left window lost nothing to the roll
    assert torch.equal(mask[3], torch.eye(4, dtype=torch.bool))  # the last holds four corners of the picture
    assert mask.diagonal(dim1=1, dim2=2).all()


def test_published_rim_has_120_tokens():
    positions = rolled_positions((5, 9), (2, 4))
    assert len(positions) == 45 + 120
    assert len(set(positions[:45])) == 45
    assert not set(positions[:45]) & set(positions[45:])


@pytest.mark.parametrize("wrap", [True, False])
def test_gathered_tokens(wrap):
    grid = torch.arange(4 * 6).view(1, 4, 6, 1)
    index, valid = gather_index((4, 6), (2, 3), [(0, 0), (1, 2), (-1, 0)], wrap)
    tokens = grid.flatten()[index]
    torch.testing.assert_close(tokens[:, :2], partition_windows(grid, (2, 3))[0, :, [0, 5], 0])
    assert tokens[0, 2] == 18  # from the other side
    assert valid[:, 2].tolist() == ([True] * 4 if wrap else [False, False, True, True])


def test_windows_that_reach_beyond_the_grid():
    index, valid = gather_index((3, 4), (2, 3), rolled_positions((2, 3), (1, 1))[:6])
    assert index.shape == (4, 6)
    assert valid.sum() == 12  # each token of the grid once
    assert sorted(index[valid].tolist()) == list(range(12))
