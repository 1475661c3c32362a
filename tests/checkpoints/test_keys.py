"""Published names become ours: each has one place, and nothing is missing or left over."""

import pytest
import torch
from torch import nn

from b2scvr.checkpoints.detector_keys import DETECTOR
from b2scvr.checkpoints.keys import KeyMap, load_published
from b2scvr.checkpoints.load import WeightsMismatchError

KEYS = KeyMap(
    rules=((r"block\.(\d)\.w", r"layers.\1.weight"), (r"block\.(\d)\.b", r"layers.\1.bias")),
    computed=(r".*index",),
    unused=(r"head\..+",),
)


def published():
    return {
        "block.0.w": torch.ones(2, 3),
        "block.0.b": torch.zeros(2),
        "head.w": torch.ones(9),
        "index": torch.arange(4),
    }


def network():
    return nn.ModuleDict({"layers": nn.ModuleList([nn.Linear(3, 2)])})


def test_every_name_is_renamed_computed_or_unused():
    found = KEYS.translate(published() | {"stray": torch.ones(1)})
    assert set(found.weights) == {"layers.0.weight", "layers.0.bias"}
    assert (found.computed, found.unused, found.unknown) == (["index"], ["head.w"], ["stray"])


def test_two_tensors_of_one_name_are_refused():
    keys = KeyMap(rules=((r"[ab]", "c"),))
    with pytest.raises(ValueError, match="would be called 'c'"):
        keys.translate({"a": torch.ones(1), "b": torch.ones(1)})


def test_a_checkpoint_with_training_state_loads(tmp_path):
    torch.save({"model": published(), "epoch": 3}, tmp_path / "c.pt")
    ours = network()
    load_published(tmp_path / "c.pt", ours, KEYS)
    assert torch.equal(ours["layers"][0].weight, torch.ones(2, 3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stray": torch.ones(1)}, "1 unknown"),
        ({"block.1.w": torch.ones(2, 3)}, "unexpected"),
        ({"block.0.w": torch.ones(3, 3)}, "another shape"),
    ],
)
def test_a_checkpoint_of_another_network_is_refused_before_anything_changes(tmp_path, change, message):
    torch.save(published() | change, tmp_path / "c.pt")
    ours = network()
    before = ours["layers"][0].weight.clone()
    with pytest.raises(WeightsMismatchError, match=message):
        load_published(tmp_path / "c.pt", ours, KEYS)
    assert torch.equal(ours["layers"][0].weight, before)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("no_mem_embed", "sam.no_mem_embed"),
        ("sam_mask_decoder.conv_s0.bias", "sam.sam_mask_decoder.conv_s0.bias"),
        ("sam_mask_decoder.degradation_embeddings", "tokens.degradation"),
        ("sam_mask_decoder.token_mlp.3.weight", "tokens.vector_mlp.3.weight"),
        ("sam_mask_decoder.mv_tokenizer.proj.bias", "tokens.vector_proj.bias"),
        ("sam_mask_decoder.mv_tokenizer.backbone.norm.bias", "tokens.embedder.vit.norm.bias"),
        ("sam_mask_decoder.pm_tokenizer.1.weight", "tokens.letter_proj.1.weight"),
        ("sam_mask_decoder.neck.norm.weight", "sam.sam_mask_decoder.neck.norm_out.weight"),
        ("sam_mask_decoder.neck.layers.1.conv.bias", "sam.sam_mask_decoder.neck.blocks.1.conv.bias"),
        (
            "sam_mask_decoder.neck.layers.0.residual_group.layers.2.convffn.dwconv.depthwise_conv.0.weight",
            "sam.sam_mask_decoder.neck.blocks.0.layers.2.convffn.dwconv.weight",
        ),
        (
            "sam_mask_decoder.neck.layers.1.residual_group.layers.0.sigma",
            "sam.sam_mask_decoder.neck.blocks.1.layers.0.refinement.sigma",
        ),
    ],
)
def test_names_of_the_published_detector(theirs, ours):
    assert list(DETECTOR.translate({theirs: torch.ones(1)}).weights) == [ours]


def test_a_name_that_the_published_detector_does_not_have_is_unknown():
    names = ("sam_mask_decoder.neck.other.weight", "sam_mask_decoder.mv_tokenizer.head.weight")
    assert DETECTOR.translate({name: torch.ones(1) for name in names}).unknown == list(names)
