"""SAM 2.1's image trunk on its own."""

import pytest
import torch

from b2scvr.backbones.sam2 import HieraTrunk

SMALL = dict(embed_dim=4, stages=(1, 1, 1, 1), window_spec=(4, 2, 2, 2), global_att_blocks=(), background_size=(2, 2))


def test_maps_of_four_strides():
    trunk = HieraTrunk(**SMALL)
    assert (trunk.channels, trunk.multiple) == ((4, 8, 16, 32), 32)
    maps = trunk(torch.rand(2, 3, 32, 64))
    assert [tuple(m.shape) for m in maps] == [(2, 4, 8, 16), (2, 8, 4, 8), (2, 16, 2, 4), (2, 32, 1, 2)]


def test_other_sizes_are_refused():
    with pytest.raises(ValueError, match="multiples of 32, got 32x40"):
        HieraTrunk(**SMALL)(torch.rand(1, 3, 32, 40))


def test_published_size():
    with torch.device("meta"):
        trunk = HieraTrunk()
    assert sum(p.numel() for p in trunk.parameters()) == 26_849_472
    assert len(trunk.state_dict()) == 154


def test_published_weights_are_a_part_of_sam(tmp_path):
    theirs, ours = HieraTrunk(**SMALL), HieraTrunk(**SMALL)
    state = {f"image_encoder.trunk.{name}": value for name, value in theirs.encoder.state_dict().items()}
    torch.save({"model": state | {"image_encoder.neck.convs.0.conv.weight": torch.ones(1)}}, tmp_path / "sam.pt")
    assert list(ours.load_pretrained({"sam2.1_hiera_t": str(tmp_path / "sam.pt")})) == ["sam2.1_hiera_t"]
    x = torch.rand(1, 3, 32, 32)
    assert torch.equal(ours(x)[-1], theirs(x)[-1])
