"""The detector as a whole, in its small configuration."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

import b2scvr
from b2scvr.dac.detector import Detector, nearest_first
from b2scvr.losses.detection import detection_losses
from b2scvr.ops.evidence import CHANNELS
from b2scvr.registry import MODELS

CONFIG = Path(b2scvr.__file__).parents[1] / "configs" / "_base_" / "dac_tiny.py"


def build(**changes) -> Detector:
    torch.manual_seed(0)
    return MODELS.build({**Config.fromfile(CONFIG).dac.to_dict(), **changes})


def sample(batch: int = 1, height: int = 58, width: int = 106, pictures: int = 4, seed: int = 0) -> dict:
    generator = torch.Generator().manual_seed(seed)
    grid = (batch, -(-height // 16), -(-width // 16))
    concealed, start = torch.zeros(grid, dtype=torch.bool), torch.zeros(grid, dtype=torch.bool)
    concealed[:, -1], start[:, 0, 0] = True, True
    return {
        "window": torch.rand(batch, pictures, 3, height, width, generator=generator),
        "current": min(2, pictures - 1),
        "fill": torch.rand(batch, 3, height, width, generator=generator),
        "evidence": torch.rand(batch, len(CHANNELS), *grid[1:], generator=generator),
        "concealed": concealed,
        "slice_start": start,
        "broken": torch.arange(batch) % 2 == 0,
    }


def losses(output, inputs: dict, truth: dict) -> torch.Tensor:
    known = {name: inputs[name] for name in ("concealed", "slice_start", "broken")}
    return sum(detection_losses(output, **truth, **known).values())


def truth_of(inputs: dict) -> dict:
    height, width = inputs["fill"].shape[-2:]
    mask = torch.zeros(len(inputs["fill"]), 1, height, width)
    mask[:, :, 32:] = 1
    wrong = torch.zeros_like(inputs["concealed"])
    wrong[:, 2:] = True
    return {"target_mask": mask, "wrong": wrong}


@pytest.mark.parametrize(("height", "width"), [(58, 106), (64, 96), (16, 16)])
def test_shapes_and_ranges(height, width):
    inputs = sample(2, height, width)
    before = {name: value.clone() for name, value in inputs.items() if torch.is_tensor(value)}
    with torch.no_grad():
        output = build().eval()(**inputs)
    rows, columns = -(-height // 16), -(-width // 16)
    assert output.mask_logits.shape == (2, 1, 4 * rows, 4 * columns)
    assert output.macroblock_logits.shape == output.macroblock_probability.shape == (2, rows, columns)
    assert output.iou_prediction.shape == (2,)
    assert all(torch.isfinite(getattr(output, f.name)).all() for f in fields(output))
    probability = output.macroblock_probability
    assert bool(((probability >= 0) & (probability <= 1)).all())
    assert torch.allclose(probability[0, -1], torch.ones(columns), atol=1e-5), "concealed macroblocks are wrong"
    assert all(torch.equal(value, inputs[name]) for name, value in before.items()), "inputs stay as they are"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"use_fill": False, "prompts": "none"},
        {"prompts": "mv+pm"},
        {"prompts": ("qp", "trace")},
        {"prompts": ("concealed", "mv")},
    ],
)
def test_every_parameter_gets_a_gradient(changes):
    detector = build(**changes)
    inputs = sample(2, 64, 96)
    losses(detector(**inputs), inputs, truth_of(inputs)).backward()
    trainable = {name: p for name, p in detector.named_parameters() if p.requires_grad}
    assert [name for name, p in trainable.items() if p.grad is None or not torch.isfinite(p.grad).all()] == []
    # The bias of the keys, and an offset of logits, cancel in a softmax: their gradient is zero in theory.
    still = {name for name, p in trainable.items() if p.grad.abs().max() == 0}
    assert {name for name in still if not name.endswith(("k_proj.bias", "refinement.bias"))} == set()


def test_what_is_not_read_changes_nothing():
    inputs = sample()
    other = {**inputs, "fill": 1 - inputs["fill"], "evidence": inputs["evidence"] + 1}
    blind, seeing = build(use_fill=False, prompts=()).eval(), build().eval()
    with torch.no_grad():
        assert torch.equal(blind(**inputs).mask_logits, blind(**other).mask_logits)
        assert not torch.equal(seeing(**inputs).mask_logits, seeing(**other).mask_logits)


def test_pictures_of_a_batch_are_independent():
    detector = build().eval()
    inputs = sample(2, 64, 96)
    with torch.no_grad():
        together = detector(**inputs)
        for i in range(2):
            alone = detector(**{k: v[i : i + 1] if torch.is_tensor(v) else v for k, v in inputs.items()})
            for f in ("mask_logits", "macroblock_logits", "macroblock_probability", "iou_prediction"):
                assert torch.allclose(getattr(alone, f)[0], getattr(together, f)[i], atol=1e-3), f


def test_a_window_of_one_picture_and_more_memories():
    sam = Config.fromfile(CONFIG).dac.sam.to_dict()
    with torch.no_grad():
        assert torch.isfinite(build().eval()(**sample(pictures=1)).mask_logits).all()
        more = build(sam={**sam, "num_memories": 2}).eval()
        assert torch.isfinite(more(**sample()).mask_logits).all()
        assert torch.isfinite(more(**sample(pictures=2)).mask_logits).all()


def test_nearest_pictures_come_first():
    assert nearest_first(4, 2) == [1, 3, 0]
    assert nearest_first(1, 0) == []


def test_saved_weights_give_the_same_answer(tmp_path):
    inputs = sample()
    first = build().eval()
    torch.save(first.state_dict(), tmp_path / "weights.pt")
    second = build(temperature=9.0).eval()
    second.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    with torch.device("meta"):
        third = MODELS.build(Config.fromfile(CONFIG).dac).eval()
    third.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True), assign=True)
    with torch.no_grad():
        expected = first(**inputs).mask_logits
        assert torch.equal(second(**inputs).mask_logits, expected)
    assert all(not p.is_meta for p in third.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_close(dtype):
    detector, inputs = build().eval(), sample(1, 64, 96)
    with torch.no_grad():
        exact = detector(**inputs)
        with torch.autocast("cpu", dtype):
            near = detector(**inputs)
    assert torch.allclose(near.macroblock_probability, exact.macroblock_probability, atol=0.05)
    assert torch.allclose(near.mask_logits.float(), exact.mask_logits, atol=0.5)


def test_size():
    assert 1.5e6 < sum(p.numel() for p in build().parameters()) < 2.5e6


def test_one_sample_can_be_learned():
    """A grey picture with noise from macroblock row 2 on: thirty steps find where the noise begins."""
    detector = build()
    inputs = sample(1, 64, 96)
    inputs["window"][:] = 0.5
    inputs["window"][:, 2, :, 32:] = torch.rand(1, 3, 32, 96, generator=torch.Generator().manual_seed(1))
    inputs["fill"][:] = 0.5
    truth = truth_of(inputs)
    optimizer = torch.optim.AdamW([p for p in detector.parameters() if p.requires_grad], lr=1e-3)
    history = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = losses(detector(**inputs), inputs, truth)
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert history[-1] < 0.3 * history[0], history
    with torch.no_grad():
        probability = detector.eval()(**inputs).macroblock_probability[0]
    assert probability[:2].max() < 0.5 < probability[2:].min()
