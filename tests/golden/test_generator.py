"""The recovery generator computes what the published one computes: every stage, on weights made from the names.

Takes a few minutes and 6 GB: `pytest -m heavy tests/golden`.
"""

import numpy as np
import pytest
import torch

from b2scvr.cfc import RecoveryGenerator
from b2scvr.checkpoints.generator_keys import GENERATORS
from b2scvr.checkpoints.load import compare_keys

LOCAL = 3
TOLERANCE = 1e-4  # of the stage's standard deviation
SAMPLES = 4096
STAGES = {  # ours -> name of the published stage, as the reference calls it
    "augmentation": "sam_fuser/0",
    "completion": "feat_enhance_module/0",
    "experts": "feat_prompt_module/0",
    "propagation": "feat_prop_module/0",
    "transformer.split": "ss/0",
    "transformer.blocks.7": "transformer/0",
    "transformer.compose": "sc/0",
    "decoder": "decoder/0",
}

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def network(fill, published_keys):
    """The generator as published, filled by the published names."""
    network = RecoveryGenerator("official")
    published = {
        key: torch.from_numpy(fill.fill_array(key, tuple(shape)))
        for key, (shape, kind) in published_keys.items()
        if kind == "float32" and "clip.t" not in key  # the text tower is large and read by nobody
    }
    network.load_state_dict(GENERATORS["b2scvr"].translate(published).weights, strict=True)
    return network.eval()


def inputs(fill):
    """Pictures outside and inside the mask in [0, 1], and the mask."""
    good, corrupted = (torch.from_numpy(fill.ramp((1, 4, 3, 240, 432), seed)) for seed in (1, 2))
    mask = torch.zeros(1, 4, 1, 240, 432)
    mask[:, :LOCAL, :, 80:200, 120:360] = 1
    mask[:, 1, :, :32] = 1
    return (good + 1) / 2, (corrupted + 1) / 2, mask


@pytest.fixture(scope="module")
def computed(network, fill):
    """What each stage gives, by our name, and the network's output."""
    stages, calls = {}, {"encoder": [], "flow": []}
    hooks = [
        network.get_submodule(name).register_forward_hook(lambda _m, _i, out, name=name: stages.__setitem__(name, out))
        for name in (*STAGES, "experts.gate", "trunk")
    ]
    hooks += [
        network.get_submodule(name).register_forward_hook(lambda _m, _i, out, name=name: calls[name].append(out))
        for name in calls
    ]
    good, corrupted, mask = inputs(fill)
    with torch.inference_mode():
        output = network(good, mask, LOCAL, corrupted)
    for hook in hooks:
        hook.remove()
    return stages | calls | {"output": output}


def error(found, expected, deviation):
    """Largest difference in units of the stage's standard deviation."""
    return float(np.abs(np.asarray(found, np.float64) - expected).max() / deviation)


def sampled(values):
    """The values that the reference keeps of a tensor."""
    flat = values.numpy().reshape(-1)
    return flat[:: max(1, flat.size // SAMPLES)][:SAMPLES]


def stage_error(reference, name, values):
    found = sampled(values)
    assert list(values.shape)[-3:] == list(reference[f"shape/{name}"])[-3:]
    assert values.numel() == reference[f"shape/{name}"].prod()
    return error(found, reference[f"sample/{name}"], reference[f"std/{name}"])


def test_every_published_name_has_a_place(network, published_keys):
    published = {key: torch.empty(shape, device="meta") for key, (shape, _) in published_keys.items()}
    translation = GENERATORS["b2scvr"].translate(published)
    assert compare_keys(network.state_dict(), translation.weights) == ""
    assert translation.unknown == []
    kept = len(translation.weights), len(translation.computed), len(translation.unused)
    assert kept == (912, 14, 174)
    assert sum(kept) == len(published_keys) == 1100


@pytest.mark.parametrize("name", STAGES)
def test_stage(name, computed, reference):
    found = computed[name][0] if isinstance(computed[name], tuple) else computed[name]
    assert stage_error(reference, STAGES[name], found) < TOLERANCE


def test_encoder(network, computed, reference, fill):
    assert stage_error(reference, "encoder/0", computed["encoder"][0]) < TOLERANCE
    _, corrupted, mask = inputs(fill)
    with torch.inference_mode():
        content = network.encoder(((corrupted * 2 - 1) * mask).flatten(0, 1))
    assert stage_error(reference, "encoder/1", content) < TOLERANCE


def test_trunk(computed, reference):
    expected = reference["sam2_encoder_stage4"]
    assert error(computed["trunk"][-1], expected, expected.std()) < TOLERANCE


def test_gate(computed, reference):
    expected = reference["gate_logits"]
    assert error(computed["experts.gate"], expected, expected.std()) < TOLERANCE


@pytest.mark.parametrize(("index", "name"), [(0, "flow_forward"), (1, "flow_backward")])
def test_flow(index, name, computed, reference):
    expected = reference[name]
    assert error(getattr(computed["output"], name), expected, expected.std()) < TOLERANCE
    assert stage_error(reference, f"update_spynet/{index}", computed["flow"][index]) < TOLERANCE


def test_output(computed, reference):
    expected = reference["output"]  # in [-1, 1]
    assert error(computed["output"].pictures[0] * 2 - 1, expected, expected.std()) < TOLERANCE
