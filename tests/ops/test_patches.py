"""Overlapping patches: split and compose are a linear layer behind unfolding, and before folding."""

import pytest
import torch
import torch.nn.functional as F

from b2scvr.ops.patches import PatchGrid

SIZES = [(12, 15), (7, 10), (16, 17)]
GRIDS = [PatchGrid(), PatchGrid(kernel=4, stride=2, padding=1), PatchGrid(kernel=2, stride=2, padding=0)]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("size", SIZES)
def test_split_is_a_linear_layer_on_unfolded_patches(grid, size):
    x, weight, bias = torch.randn(2, 3, *size), torch.randn(5, 3 * grid.kernel**2), torch.randn(5)
    patches = F.unfold(x, grid.kernel, padding=grid.padding, stride=grid.stride).transpose(1, 2)
    expected = F.linear(patches, weight, bias).unflatten(1, grid.tokens(size))
    torch.testing.assert_close(grid.split(x, weight, bias), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("size", SIZES)
def test_compose_folds_the_patches_of_a_linear_layer(grid, size):
    tokens = torch.randn(2, *grid.tokens(size), 5)
    weight, bias = torch.randn(3 * grid.kernel**2, 5), torch.randn(3 * grid.kernel**2)
    patches = F.linear(tokens.flatten(1, 2), weight, bias).transpose(1, 2)
    expected = F.fold(patches, size, grid.kernel, padding=grid.padding, stride=grid.stride)
    torch.testing.assert_close(grid.compose(tokens, weight, bias, size), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", SIZES)
def test_composing_what_was_split_gives_each_cell_as_often_as_it_is_covered(size):
    grid, x = PatchGrid(), torch.rand(2, 3, *size)
    same = torch.eye(3 * 49)
    patches = grid.split(x, same, torch.zeros(3 * 49))
    again = grid.compose(patches, same, torch.zeros(3 * 49), size)
    torch.testing.assert_close(again / grid.coverage(size, x), x)


def test_patches_side_by_side_cover_each_cell_once():
    grid = PatchGrid(kernel=2, stride=2, padding=0)
    assert torch.equal(grid.coverage((4, 6), torch.rand(1)), torch.ones(1, 1, 4, 6))
    assert torch.equal(grid.coverage((5, 6), torch.rand(1)), torch.ones(1, 1, 5, 6))  # the last row has no patch


def test_published_grid():
    assert PatchGrid().tokens((60, 108)) == (20, 36)


def test_a_map_smaller_than_a_patch_is_refused():
    with pytest.raises(ValueError, match="holds no patch"):
        PatchGrid(kernel=7, stride=3, padding=0).tokens((4, 9))
