"""CLIP's image tower: shapes, its own statistics, published weights from a file."""

import pytest
import torch

from b2scvr.backbones.base import ImageEmbedder
from b2scvr.backbones.clip import ClipImageEncoder
from b2scvr.checkpoints.known import MissingWeightsError
from b2scvr.checkpoints.load import WeightsMismatchError
from b2scvr.ops.normalise import CLIP

NAME = "clip_vit_b_32"
SMALL = dict(image_size=16, patch_size=8, width=8, layers=1, heads=2, dim=6)


def test_tokens_and_one_embedding():
    encoder = ClipImageEncoder(**SMALL)
    assert isinstance(encoder, ImageEmbedder)
    tokens, embedding = encoder(torch.rand(3, 3, 16, 16))
    assert tokens.shape == (3, 4, 6)
    assert embedding.shape == (3, 6)


def test_published_size():
    with torch.device("meta"):
        encoder = ClipImageEncoder()
    assert encoder.visual.positional_embedding.shape == (50, 768)
    assert encoder(torch.empty(2, 3, 224, 224, device="meta"))[1].shape == (2, 512)


def test_pictures_are_stretched_and_normalised():
    prepared = ClipImageEncoder(**SMALL).prepare(torch.tensor(CLIP[0]).view(1, 3, 1, 1).expand(1, 3, 30, 50))
    torch.testing.assert_close(prepared, torch.zeros(1, 3, 16, 16), atol=1e-6, rtol=0)


def test_published_weights_come_from_a_file_text_tower_aside(tmp_path):
    theirs, ours = ClipImageEncoder(**SMALL), ClipImageEncoder(**SMALL)
    state = {f"visual.{name}": value for name, value in theirs.visual.state_dict().items()}
    torch.save(state | {"text_projection": torch.ones(2, 2)}, tmp_path / "clip.bin")
    found = ours.load_pretrained({NAME: str(tmp_path / "clip.bin")})
    assert list(found) == [NAME] and len(found[NAME]) == 64
    x = torch.rand(1, 3, 16, 16)
    assert torch.equal(ours(x)[1], theirs(x)[1])


def test_absent_and_foreign_weights_are_named(tmp_path):
    with pytest.raises(MissingWeightsError, match="open_clip_pytorch_model"):
        ClipImageEncoder(**SMALL).load_pretrained({NAME: str(tmp_path / "absent.bin")})
    torch.save({"visual.proj": torch.ones(2, 2)}, tmp_path / "clip.bin")
    with pytest.raises(WeightsMismatchError, match="missing"):
        ClipImageEncoder(**SMALL).load_pretrained({NAME: str(tmp_path / "clip.bin")})
