"""DINOv2 by timm: tokens as timm's own, positions stretched as the published code does, weights under published names."""

import pytest
import torch

from b2scvr.backbones.base import ImageEmbedder
from b2scvr.backbones.dinov2 import TRAINED_GRID, DINOv2, FieldEmbedder
from b2scvr.checkpoints.known import VARIABLE, MissingWeightsError


@pytest.fixture(scope="module")
def dinov2():
    torch.manual_seed(0)
    return DINOv2().eval()


@pytest.fixture(scope="module")
def file(dinov2, tmp_path_factory):
    """The weights in a file named and laid out as the published one."""
    path = tmp_path_factory.mktemp("weights") / "dinov2_vits14_pretrain.pth"
    torch.save(dinov2.vit.state_dict() | {"mask_token": torch.zeros(1, 384)}, path)
    return path


def test_tokens_are_those_of_timm(dinov2):
    pictures = torch.randn(2, 3, 56, 84)
    with torch.inference_mode():
        expected = dinov2.vit.forward_features(pictures)[:, 1:]
        assert torch.allclose(dinov2(pictures), expected, atol=1e-5)


def test_positions_of_the_trained_grid_stay(dinov2):
    assert dinov2.positions((TRAINED_GRID, TRAINED_GRID)) is dinov2.vit.pos_embed


def test_published_positions_are_stretched_with_the_offset():
    """On a ramp the value at patch i is where (i + 1/2) lies in the trained grid."""
    with torch.device("meta"):
        model = DINOv2(published=True)
    ramp = torch.arange(TRAINED_GRID, dtype=torch.float32)
    square = torch.stack([ramp[:, None].expand(-1, TRAINED_GRID), ramp.expand(TRAINED_GRID, -1)], -1)
    positions = torch.cat((torch.full((1, 1, 2), 7.0), square.reshape(1, -1, 2)), 1)
    model.vit.pos_embed = torch.nn.Parameter(positions, requires_grad=False)
    found = model.positions((74, 74))
    assert found.shape == (1, 1 + 74 * 74, 2) and found[0, 0].tolist() == [7, 7]
    patches = torch.arange(10, 60)
    expected = (patches + 0.5) * TRAINED_GRID / (74 + 0.1) - 0.5
    for along in (found[0, 1:].reshape(74, 74, 2)[patches, 30, 0], found[0, 1:].reshape(74, 74, 2)[30, patches, 1]):
        assert torch.allclose(pairs(along), pairs(expected), atol=5e-3)
        assert not torch.allclose(pairs(along), pairs((patches + 0.5) / 2 - 0.5), atol=2e-2), "the offset shows"


def pairs(values):
    """Means of neighbours: the ripple of PyTorch's cubic kernel on a ramp has a period of two here."""
    return values.reshape(-1, 2).mean(1)


def test_published_weights_load_from_where_they_lie(dinov2, file, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(file.parent))
    other = DINOv2()
    assert list(other.load_pretrained({})) == ["dinov2_vits14"]
    mine = dinov2.vit.state_dict()
    assert all(torch.equal(mine[name], value) for name, value in other.vit.state_dict().items())


def test_missing_weights_and_unknown_variants_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(VARIABLE, raising=False)
    with torch.device("meta"), pytest.raises(MissingWeightsError, match=r"dinov2_vits14_pretrain\.pth"):
        DINOv2().load_pretrained({})
    with pytest.raises(ValueError, match="vits14, vitb14, vitl14"):
        DINOv2("vits16")


@pytest.mark.parametrize("published", [False, True])
def test_field_embedder_keeps_places_and_trains_its_mix_alone_on_published_weights(dinov2, file, published):
    torch.manual_seed(0)
    embedder = FieldEmbedder(6, grid=(2, 3)).train()
    assert isinstance(embedder, ImageEmbedder)
    if published:
        embedder.load_pretrained({"dinov2_vits14": str(file)})
    maps = torch.randn(2, 6, 4, 6)
    tokens, mean = embedder(maps)
    assert tokens.shape == (2, 6, embedder.dim) and mean.shape == (2, embedder.dim)
    tokens.square().sum().backward()
    trained = {name for name, p in embedder.named_parameters() if p.grad is not None}
    assert trained == ({"mix.weight", "mix.bias"} if published else {name for name, _ in embedder.named_parameters()})
    with torch.no_grad():
        changed = maps.clone()
        changed[:, :, :2, 4:] += 5
        moved = (embedder(changed)[0] - tokens).norm(dim=-1)[0]
    assert int(moved.argmax()) == 2, "the token of the upper right moves most"
