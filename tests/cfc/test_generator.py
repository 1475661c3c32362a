"""The recovery generator: any window, what it may look at, what is trained, and how the presets differ."""

import copy
from dataclasses import fields

import pytest
import torch

from b2scvr.cfc.quirks import CORRECTED, OFFICIAL, Quirks

PRESETS = ("official", "corrected")
CLOSE = dict(atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(
    ("count", "local", "size"), [(4, 3, (30, 50)), (1, 1, (24, 36)), (5, 5, (7, 9)), (3, 1, (25, 37))]
)
def test_any_window_and_size(generator, scene, preset, count, local, size):
    pictures, mask = scene(1, count, local, size)
    network = generator(preset)
    before = pictures.clone(), mask.clone()
    out = network(pictures, mask, local)
    assert out.pictures.shape == (1, count, 3, *size)
    assert out.flow_forward.shape[:3] == out.flow_backward.shape[:3] == (1, local - 1, 2)
    assert out.gate_weights.shape == (1, local, 2)
    assert torch.isfinite(out.pictures).all() and out.pictures.min() >= 0 and out.pictures.max() <= 1
    assert torch.equal(pictures, before[0]) and torch.equal(mask, before[1])


@pytest.mark.parametrize("preset", PRESETS)
def test_a_batch_is_its_clips(generator, scene, preset):
    network = generator(preset)
    pictures, mask = scene(3)
    mask[1] = 0  # the official preset masks the first picture of this clip, and of no other
    together = network(pictures, mask, 3)
    for clip in range(3):
        alone = network(pictures[clip : clip + 1], mask[clip : clip + 1], 3)
        torch.testing.assert_close(alone.pictures[0], together.pictures[clip], **CLOSE)
        torch.testing.assert_close(alone.gate_weights[0], together.gate_weights[clip], **CLOSE)


def test_presets_have_the_same_parameters_and_every_quirk_counts(generator, scene):
    official, corrected = generator("official"), generator("corrected")
    assert set(official.state_dict()) == set(corrected.state_dict())
    pictures, mask = scene()
    corrupted = torch.rand_like(pictures)
    for quirk in fields(Quirks):
        assert getattr(OFFICIAL, quirk.name) and not getattr(CORRECTED, quirk.name)
        one = generator("official", quirks={quirk.name: False})
        one.load_state_dict(official.state_dict())
        shown = mask * 0 if quirk.name == "first_mask_instead_of_none" else mask
        difference = one(pictures, shown, 3, corrupted).pictures - official(pictures, shown, 3, corrupted).pictures
        assert difference.abs().max() > 1e-6, quirk.name


def test_what_is_hidden_by_the_mask_is_not_looked_at(generator, scene):
    network = generator()
    pictures, mask = scene()
    corrupted = torch.rand_like(pictures)
    changed = pictures + mask * torch.rand_like(pictures)
    assert torch.equal(network(pictures, mask, 3, corrupted).pictures, network(changed, mask, 3, corrupted).pictures)
    assert not torch.equal(network(pictures, mask, 3).pictures, network(changed, mask, 3).pictures)


def test_references_are_looked_at(generator, scene):
    network = generator()
    pictures, mask = scene()
    changed = pictures.clone()
    changed[:, 3] = 1 - changed[:, 3]
    difference = network(pictures, mask, 3).pictures - network(changed, mask, 3).pictures
    assert difference[:, :3].abs().max() > 1e-6


def test_the_company_of_a_picture_changes_its_channels_in_the_official_preset_only(generator):
    for preset in PRESETS:
        experts = generator(preset).experts
        x, embedding = torch.randn(3, 8, 8, 8), torch.randn(3, 8)
        together, alone = experts(x, embedding, 3)[0][:1], experts(x[:1], embedding[:1], 1)[0]
        assert torch.allclose(together, alone, atol=1e-6) == (preset == "corrected")


@pytest.mark.parametrize("preset", PRESETS)
def test_what_is_trained_learns_and_what_is_frozen_stays(generator, scene, preset):
    network = generator(preset).train()
    frozen = {name for name, p in network.named_parameters() if name.startswith(("trunk.", "embedder."))}
    before = copy.deepcopy({name: p for name, p in network.named_parameters() if name in frozen})
    pictures, mask = scene(2)
    out = network(pictures, mask, 3, torch.rand_like(pictures))
    (out.pictures.square().sum() + out.flow_forward.sum() + out.flow_backward.sum()).backward()
    learning = {name for name, p in network.named_parameters() if p.grad is not None}
    assert frozen and not learning & frozen
    assert not network.trunk.training and not network.embedder.training and network.encoder.training
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=1.0)
    optimizer.step()
    assert all(torch.equal(p, before[name]) for name, p in network.named_parameters() if name in frozen)
    assert {name for name, _ in network.named_parameters()} - learning == frozen


def test_backbones_are_never_drawn_anew(generator):
    """Building draws the weights of a backbone once, by its own rule: not what the release gives them."""
    network = generator()
    assert network.embedder.visual.class_embedding.requires_grad is False
    assert not (network.trunk.encoder.blocks[0].attn.qkv.bias == 0).all()
    network.train()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    network.eval().train()
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("parts", [(), ("completion",), ("completion", "experts"), ("experts",)])
def test_parts_can_be_left_out(generator, scene, parts):
    network = generator(parts=parts)
    pictures, mask = scene()
    out = network(pictures, mask, 3)
    assert (out.gate_weights is None) == ("experts" not in parts)
    present = {name for name, child in network.named_children() if child is not None}
    assert ("trunk" in present) is False
    assert {"completion", "experts"} & present == set(parts)


@pytest.mark.parametrize("experts", [1, 2, 3])
@pytest.mark.parametrize("gate", ["embedding", "linear", "none"])
def test_the_experts_of_the_ablation(generator, scene, gate, experts):
    network = generator(experts=dict(blocks=1, depth=2, num_tokens=4, gate=gate, num_experts=experts))
    weights = network(*scene(), 3).gate_weights
    assert weights.shape == (1, 3, experts)
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 3))
    assert (network.embedder is None) == (gate != "embedding")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(preset="published"), "preset: unknown 'published'; known: official, corrected"),
        (dict(parts=("more",)), "parts: unknown 'more'"),
        (dict(frozen=("head",)), "frozen: unknown 'head'"),
        (dict(quirks=dict(shift=True)), "quirks: unknown 'shift'"),
        (dict(parts=("augmentation",)), "augmentation feeds completion"),
    ],
)
def test_nonsense_is_refused(generator, arguments, message):
    with pytest.raises(ValueError, match=message):
        generator(**arguments)


def test_inputs_that_do_not_belong_together_are_named(generator, scene):
    network = generator()
    pictures, mask = scene()
    with pytest.raises(ValueError, match=r"mask is \[1, 4, 1, 30, 49\], pictures \[1, 4, 3, 30, 50\] ask for"):
        network(pictures, mask[..., :49], 3)
    with pytest.raises(ValueError, match=r"mask: numbers in \[0, 1\] are asked for, floating point, got torch.uint8"):
        network(pictures, mask.to(torch.uint8), 3)
    with pytest.raises(ValueError, match="pictures: numbers in"):
        network((pictures * 255).byte(), mask, 3)
    with pytest.raises(ValueError, match="corrupted is"):
        network(pictures, mask, 3, pictures[:, :3])
    with pytest.raises(ValueError, match="between 1 and the window's 4 pictures, got 5"):
        network(pictures, mask, 5)
    with pytest.raises(ValueError, match="pictures must be"):
        network(pictures[0], mask, 3)


def test_published_backbones_come_from_files(generator, tmp_path):
    theirs, ours = generator(), generator(preset="official")
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter)
    trunk = {f"image_encoder.trunk.{name}": value for name, value in theirs.trunk.encoder.state_dict().items()}
    clip = {f"visual.{name}": value for name, value in theirs.embedder.visual.state_dict().items()}
    flow = {
        f"basic_module.{level}.basic_module.{index // 2}.conv.{kind}": getattr(layers[index], kind)
        for level, layers in enumerate(theirs.flow.levels)
        for index in range(0, len(layers), 2)
        for kind in ("weight", "bias")
    }
    paths = {}
    for name, weights in (("sam2.1_hiera_t", {"model": trunk}), ("clip_vit_b_32", clip), ("spynet", flow)):
        paths[name] = str(tmp_path / f"{name}.pth")
        torch.save(weights, paths[name])
    assert list(ours.load_pretrained(paths)) == list(paths)
    for part in ("trunk", "embedder", "flow"):
        state = getattr(theirs, part).state_dict()
        assert all(torch.equal(value, state[name]) for name, value in getattr(ours, part).state_dict().items())
    assert not torch.equal(ours.encoder.stem[0].weight, theirs.encoder.stem[0].weight)
