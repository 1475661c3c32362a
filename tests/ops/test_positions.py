import math

import pytest
import torch

from b2scvr.ops.positions import sine_positions


def test_known_values():
    """Two rows: their centres lie at pi / 2 and 3 pi / 2; the rates of 8 channels are 1 and 1 / 100."""
    positions = sine_positions(8, 2, 1)
    down = positions[:, :4]
    expected = [
        [math.sin(a), math.sin(a / 100), math.cos(a), math.cos(a / 100)] for a in (math.pi / 2, 3 * math.pi / 2)
    ]
    assert torch.allclose(down, torch.tensor(expected), atol=1e-6)


def test_every_place_is_another_and_raster_order_holds():
    positions = sine_positions(16, 3, 5).reshape(3, 5, 16)
    assert torch.cdist(positions.flatten(0, 1), positions.flatten(0, 1)).fill_diagonal_(9).min() > 1e-2
    assert torch.equal(positions[0, :, 8:], positions[2, :, 8:]), "the column's half is the same in every row"
    assert torch.equal(positions[:, 0, :8], positions[:, 4, :8])


def test_channels_come_in_fours():
    with pytest.raises(ValueError, match="fours, got 6"):
        sine_positions(6, 2, 2)
