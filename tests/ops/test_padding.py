"""Padding to multiples."""

import pytest
import torch

from b2scvr.ops.padding import pad_to_multiple

ROW = torch.tensor([[1.0, 2.0, 3.0]])


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("zeros", [1, 2, 3, 0, 0]), ("replicate", [1, 2, 3, 3, 3]), ("mirror", [1, 2, 3, 3, 2])],
)
def test_values(mode, expected):
    out = pad_to_multiple(ROW, (1, 5), mode)
    assert out.tolist() == [expected]


@pytest.mark.parametrize("mode", ["zeros", "replicate", "mirror"])
def test_sizes_and_content(mode):
    x = torch.rand(2, 3, 5, 9)
    out = pad_to_multiple(x, 8, mode)
    assert out.shape == (2, 3, 8, 16)
    assert torch.equal(out[..., :5, :9], x)


def test_mirror_repeats_for_tiny_maps():
    assert pad_to_multiple(torch.tensor([[1.0, 2.0]]), (1, 7), "mirror").tolist() == [[1, 2, 2, 1, 1, 2, 2]]


def test_nothing_missing_nothing_copied():
    x = torch.rand(1, 8, 8)
    assert pad_to_multiple(x, 4) is x


def test_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="'circular'"):
        pad_to_multiple(ROW, 4, "circular")
