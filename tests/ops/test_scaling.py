"""Means of squares and their way back."""

import pytest
import torch
import torch.nn.functional as F

from b2scvr.ops.scaling import enlarge, shrink


def test_a_square_becomes_its_mean():
    x = torch.tensor([[1.0, 3.0, 0.0, 0.0], [5.0, 7.0, 0.0, 8.0]])
    assert shrink(x, 2).tolist() == [[4.0, 2.0]]


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_it_is_average_pooling_of_maps_with_any_axes_before(factor):
    x = torch.randn(2, 3, 4, 6, 12, generator=torch.Generator().manual_seed(0))
    pooled = F.avg_pool2d(x.flatten(0, 1), factor).unflatten(0, (2, 3))
    torch.testing.assert_close(shrink(x, factor), pooled)


def test_what_is_even_stays_so_and_a_slope_goes_on():
    x = torch.arange(4.0).expand(1, 1, 2, 4)
    larger = enlarge(x, 2)
    assert larger.shape == (1, 1, 4, 8)
    torch.testing.assert_close(larger[0, 0, 0], torch.tensor([0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]))
    assert enlarge(x, 1) is x and shrink(x, 1) is x
