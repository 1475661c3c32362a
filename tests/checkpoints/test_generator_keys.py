"""Every name of the published recovery networks has its place in ours, and the other way round."""

import pytest
import torch

from b2scvr.cfc import RecoveryGenerator
from b2scvr.checkpoints.generator_keys import DISCRIMINATOR, GENERATORS, SPYNET, recognise
from b2scvr.layers.spynet import SPyNet
from b2scvr.layers.temporal_gan import TemporalPatchDiscriminator

MORE_THAN_BSCVR = ("sam2_encoder.", "sam_fuser.", "feat_prompt_module.")
PARTS = {"b2scvr": ("augmentation", "completion", "experts"), "bscvr-p": ("completion",), "e2fgvi-hq": ()}


@pytest.fixture
def names(generator_names):
    """Published names of each kind."""
    bscvr = [name for name in generator_names if not name.startswith(MORE_THAN_BSCVR)]
    e2fgvi = [name for name in bscvr if not name.startswith("feat_enhance_module.")]
    return {"b2scvr": generator_names, "bscvr-p": bscvr, "e2fgvi-hq": e2fgvi}


def translated(keys, names):
    return keys.translate({name: torch.ones(2, 2) for name in names})


def test_the_list_is_the_published_one(generator_names):
    assert len(generator_names) == len(set(generator_names)) == 1100


@pytest.mark.parametrize(
    ("kind", "counts"), [("b2scvr", (912, 14, 174)), ("bscvr-p", (283, 13, 0)), ("e2fgvi-hq", (234, 10, 0))]
)
def test_all_names_of_a_kind_and_all_of_ours(kind, counts, names):
    found = translated(GENERATORS[kind], names[kind])
    with torch.device("meta"):
        network = RecoveryGenerator("official", parts=PARTS[kind])
    assert set(found.weights) == set(network.state_dict())
    assert found.unknown == []
    assert (len(found.weights), len(found.computed), len(found.unused)) == counts


def test_a_larger_network_is_not_taken_for_a_smaller_one(names):
    unknown = translated(GENERATORS["e2fgvi-hq"], names["bscvr-p"]).unknown
    assert unknown and all(name.startswith("feat_enhance_module.") for name in unknown)


def test_single_names():
    pairs = {
        "encoder.layers.6.weight": "encoder.stem.3.weight",
        "encoder.layers.8.weight": "encoder.tail.0.weight",
        "update_spynet.basic_module.2.basic_module.4.conv.bias": "flow.levels.2.8.bias",
        "sam_fuser.dec3.weight": "augmentation.dec.2.weight",
        "sam_fuser.dec4.weight": "augmentation.out.weight",
        "feat_prompt_module.layers_1.1.residual_group.layers.0.norm3.bias": "experts.experts.1.blocks.1.layers.0.refinement.bias",
        "feat_prompt_module.conv_after_body.weight": "experts.experts.0.conv_after_body.weight",
        "decoder.4.conv.weight": "decoder.up2.weight",
    }  # fmt: skip
    found = translated(GENERATORS["b2scvr"], pairs)
    assert list(found.weights) == list(pairs.values())


def test_1x1_convolutions_become_linear_layers():
    published = {
        "sam_fuser.learnable_weight": torch.ones(1, 1, 1, 1),
        "feat_prompt_module.channel_pooling.0.weight": torch.ones(128, 512, 1, 1),
        "feat_enhance_module.output_proj.0.weight": torch.ones(128, 256, 1, 1),
    }
    shapes = [tuple(value.shape) for value in GENERATORS["b2scvr"].translate(published).weights.values()]
    assert shapes == [(1,), (128, 512), (128, 256, 1, 1)]


def test_discriminator_and_spynet_keep_their_names():
    with torch.device("meta"):
        state = TemporalPatchDiscriminator().state_dict()
        flow = SPyNet().state_dict()
    assert set(DISCRIMINATOR.translate(state).weights) == set(state)
    names = [
        f"basic_module.{i}.basic_module.{j}.conv.{p}" for i in range(6) for j in range(5) for p in ("weight", "bias")
    ]
    found = translated(SPYNET, ["mean", "std", *names])
    assert set(found.weights) == set(flow) and found.unknown == []


def test_kinds_are_told_from_names(names):
    for kind, own in names.items():
        assert recognise(own) == kind
    assert recognise(["feat_refine_module.input_proj.weight", "ss.embedding.weight"]) == "bscvr-s"
    assert recognise(["conv.0.weight_orig", "conv.10.bias"]) == "discriminator"
    assert recognise(["sam_mask_decoder.neck.norm.weight"]) == "detector"
    assert recognise(["features.0.weight"]) is None
