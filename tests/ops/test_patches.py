"""Overlapping patches: the mean over the overlap undoes unfolding."""

import pytest
import torch

from b2scvr.ops.patches import PatchGrid


@pytest.mark.parametrize("size", [(12, 15), (7, 10), (16, 16)])
def test_fold_mean_undoes_unfold(size):
    grid, x = PatchGrid(), torch.rand(2, 3, *size)
    patches = grid.unfold(x)
    rows, columns = grid.tokens(size)
    assert patches.shape == (2, rows * columns, 3 * 49)
    torch.testing.assert_close(grid.fold_mean(patches, size), x)


def test_patches_side_by_side_cover_each_cell_once():
    grid = PatchGrid(kernel=2, stride=2, padding=0)
    x = torch.rand(1, 1, 4, 6)
    assert torch.equal(grid.coverage((4, 6), x), torch.ones(1, 1, 4, 6))
    torch.testing.assert_close(grid.fold(grid.unfold(x), (4, 6)), x)


def test_published_grid():
    assert PatchGrid().tokens((60, 108)) == (20, 36)


def test_a_map_smaller_than_a_patch_is_refused():
    with pytest.raises(ValueError, match="holds no patch"):
        PatchGrid(kernel=7, stride=3, padding=0).tokens((4, 9))
