"""The recovery network: where it starts, what it leaves alone, sizes, batches, gradients, saving."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from b2scvr.cfc import RecoveryNetwork
from b2scvr.config import load_config
from b2scvr.losses.recovery import recovery_losses
from b2scvr.ops.scaling import enlarge, shrink
from b2scvr.ops.stacking import stack_candidates
from b2scvr.registry import MODELS

TINY = Path(__file__).parents[2] / "configs" / "_base_" / "cfc_tiny.py"


def test_starts_at_the_fill(build, inputs):
    values = inputs()
    out = build(fill_weight=0.999, stack=False)(**values)
    fill, mask = values["candidates"][:, -1], values["mask"]
    assert ((out.restored - fill) * mask).abs().max() < 0.02
    assert out.weights[:, -1].min() > 0.99


def test_the_right_part_of_the_picture_tells_which_guess_to_start_at(build, inputs):
    values = inputs()
    values["candidate_valid"][:, 0] = 1
    values["mask"] = torch.zeros_like(values["mask"])
    values["mask"][..., 24:, :] = 1
    values["candidates"][:, 0, :, :24] = values["candidates"][:, 1, :, :24]  # what arrived looks like the first guess
    guess, fill = values["candidates"][:, 1, :, 24:], values["candidates"][:, -1, :, 24:]
    out = build(fill_weight=0.999)(**values).restored[..., 24:, :]
    assert (out - guess).abs().mean() < 0.15 * (fill - guess).abs().mean()
    without = build(fill_weight=0.999, stack=False)(**values).restored[..., 24:, :]
    assert (without - fill).abs().max() < 0.02


def test_trust_is_the_share_of_the_network(build, inputs):
    values = inputs()
    network = build().eval()
    own = network(**values).blend
    network.trust = 0.0
    stacked = network(**values).blend
    network.trust = 0.25
    torch.testing.assert_close(network(**values).blend, 0.75 * stacked + 0.25 * own)
    torch.testing.assert_close(
        stacked, stack_candidates(values["candidates"], values["candidate_valid"], values["mask"])
    )
    torch.testing.assert_close(network.train()(**values).blend, own)
    with pytest.raises(ValueError, match="trust"):
        build(trust=0.5, stack=False)


def test_without_trust_nothing_is_run(build, inputs, monkeypatch):
    values = inputs()
    network = build(trust=0.0).eval()
    stacked = stack_candidates(values["candidates"], values["candidate_valid"], values["mask"])
    whole = network(**values).restored
    torch.testing.assert_close(network.restore_picture(**values), whole)
    monkeypatch.setattr(network, "encoder", None)
    torch.testing.assert_close(network.restore_picture(**values, stacked=stacked), whole)


def test_outside_the_mask_it_is_the_decoders_picture(build, inputs):
    values = inputs()
    out = build()(**values)
    outside = (values["mask"] == 0).expand_as(out.restored)
    assert torch.equal(out.restored[outside], values["candidates"][:, 0][outside])
    assert not torch.equal(out.blend[outside], values["candidates"][:, 0][outside])


def test_output_is_what_it_says(build, inputs):
    values = inputs(batch=2)
    out = build(stack=False)(**values)
    torch.testing.assert_close(out.weights.sum(1), torch.ones(2, 36, 50))
    torch.testing.assert_close(out.gate_weights.sum(1), torch.ones(2))
    blend = (out.weights[:, :, None] * values["candidates"]).sum(1) + out.residual
    torch.testing.assert_close(out.blend, blend)


@pytest.mark.parametrize("downscale", [1, 2])
@pytest.mark.parametrize("size", [(36, 50), (16, 16), (33, 71), (5, 3)])
def test_any_size(build, inputs, size, downscale):
    out = build(downscale=downscale)(**inputs(size=size))
    assert out.restored.shape == (1, 3, *size)
    assert torch.isfinite(out.restored).all()


def test_a_network_that_works_smaller_is_told_the_same_and_blends_at_full_size(build, inputs):
    small, network = inputs(size=(32, 48)), build(stack=False)
    with torch.no_grad():  # a fresh head is almost still
        network.head.head.weight.normal_(std=0.1)
    half = build(stack=False, downscale=2)
    half.load_state_dict(network.state_dict())
    large = {  # pictures of squares of one colour: two by two pixels are what was one
        name: x.repeat_interleave(2, -1).repeat_interleave(2, -2) if isinstance(x, torch.Tensor) and x.dim() > 3 else x
        for name, x in small.items()
    }
    large["motion"] = large["motion"] * 2
    for values in (small, large):
        values["evidence"] = torch.zeros_like(values["evidence"])
    out, expected = half(**large), network(**small)
    assert out.restored.shape[-2:] == (64, 96)
    torch.testing.assert_close(shrink(out.weights, 2), shrink(enlarge(expected.weights, 2), 2), atol=1e-5, rtol=1e-4)
    blend = (out.weights[:, :, None] * large["candidates"]).sum(1) + out.residual
    torch.testing.assert_close(out.blend, blend)


@pytest.mark.parametrize(("pictures", "current"), [(1, 0), (2, 0), (2, 1), (5, 3)])
def test_any_window(build, inputs, pictures, current):
    out = build()(**inputs(pictures=pictures, current=current))
    assert torch.isfinite(out.restored).all()


def test_a_batch_is_its_parts_and_inputs_stay(build, inputs):
    network, values = build().eval(), inputs(batch=2)
    before = {name: x.clone() for name, x in values.items() if isinstance(x, torch.Tensor)}
    both = network(**values)
    for i in range(2):
        part = {n: x[i : i + 1] if isinstance(x, torch.Tensor) else x for n, x in values.items()}
        torch.testing.assert_close(network(**part).blend, both.blend[i : i + 1], atol=1e-5, rtol=1e-4)
    assert all(torch.equal(values[name], x) for name, x in before.items())


@pytest.mark.parametrize("experts", [1, 2, 3])
@pytest.mark.parametrize("gate", ["embedding", "linear", "none"])
def test_every_parameter_learns(build, inputs, experts, gate):
    values = inputs()
    network = build(experts=dict(num_experts=experts, gate=gate, blocks=1, depth=2, num_tokens=4))
    out = network(**values)
    assert out.gate_weights.shape == (1, experts)
    target = torch.rand(1, 3, 36, 50, generator=torch.Generator().manual_seed(2))
    sum(recovery_losses(out, target, values["mask"]).values()).backward()
    assert [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_without_augmentation_there_is_no_trunk_and_all_else_learns(build, inputs):
    values = inputs()
    network = build(augment=False)
    assert not [name for name, _ in network.named_parameters() if name.startswith(("trunk", "augmentation"))]
    sum(recovery_losses(network(**values), values["candidates"][:, 1], values["mask"]).values()).backward()
    assert [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_each_input_counts(build, inputs):
    network, values = build(), inputs()
    with torch.no_grad():  # a fresh head is almost still
        network.head.head.weight.normal_(std=0.1)
    before = network(**values).blend
    for name in ("window", "candidates", "candidate_valid", "mask", "motion", "distance", "evidence"):
        changed = network(**{**values, name: values[name] * 0.5}).blend
        assert (changed - before).abs().max() > 1e-6, name


def test_it_learns_to_take_the_right_candidate(build, inputs):
    values = inputs(size=(32, 32))
    network, target = build(), values["candidates"][:, 1]
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(25):
        loss = recovery_losses(network(**values), target, values["mask"])["hole"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_saved_and_loaded_it_says_the_same(build, inputs, tmp_path):
    network, values = build(), inputs()
    save_file(network.state_dict(), tmp_path / "network.safetensors")
    twin = build()
    for parameter in twin.parameters():
        torch.nn.init.zeros_(parameter)
    twin.load_state_dict(load_file(tmp_path / "network.safetensors"))
    assert torch.equal(twin(**values).blend, network(**values).blend)


def test_config_builds_the_defaults_also_on_the_meta_device():
    with torch.device("meta"):
        network = MODELS.build(load_config(TINY).cfc)
        plain = RecoveryNetwork()
    shapes = {name: x.shape for name, x in network.state_dict().items()}
    assert shapes == {name: x.shape for name, x in plain.state_dict().items()}
    assert 0.5e6 < sum(p.numel() for p in network.parameters()) < 1.5e6


def test_wrong_inputs_are_named(build, inputs):
    network, values = build(), inputs()
    for name in ("candidates", "candidate_valid", "mask", "motion", "evidence"):
        with pytest.raises(ValueError, match=name):
            network(**{**values, name: values[name][..., :-1]})
    with pytest.raises(ValueError, match="current is 4"):
        network(**{**values, "current": 4})
    with pytest.raises(ValueError, match="candidates"):
        build(num_candidates=1)
