"""SAM 2.1's parts: sizes, memory, prompts, and a quiet import."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from b2scvr.backbones.sam2 import SegmentAnything

SMALL = dict(
    image_size=64,
    embed_dim=8,
    stages=(1, 1, 2, 1),
    window_spec=(8, 4, 4, 2),
    global_att_blocks=(3,),
    d_model=32,
    memory_dim=16,
    memory_layers=1,
    memory_hidden=32,
    num_heads=2,
    decoder_hidden=32,
    num_mask_tokens=1,
    dropout=0.0,
    layer_scale=0.1,
)


def _sam(**changes) -> SegmentAnything:
    torch.manual_seed(0)
    return SegmentAnything(**{**SMALL, "num_memories": 2, **changes}).eval()


@pytest.mark.parametrize("size", [(64, 64), (58, 106)])
def test_shapes_for_any_picture(size):
    sam = _sam()
    features = sam.encode(torch.rand(2, 3, *size))
    assert features.coarse.shape == features.position.shape == (2, 32, 4, 4)
    assert features.eighth.shape == (2, 8, 8, 8) and features.quarter.shape == (2, 4, 16, 16)
    memory = sam.remember(features)
    assert memory[0].shape == memory[1].shape == (2, 16, 4, 4)
    image = sam.attend(features, [memory, memory])
    mask, iou, fine = sam.decode(image, features, None, torch.zeros(2, 1, 4, 7))
    assert mask.shape == (2, 1, 16, 16) and iou.shape == (2,) and fine.shape == (2, 4, 16, 16)
    assert bool(((iou >= 0) & (iou <= 1)).all())


def test_the_mask_prompt_and_the_memory_are_read():
    sam = _sam()
    pictures = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        features = sam.encode(pictures)
        first, second = features.select(slice(0, 1)), features.select(slice(1, 2))
        alone, other = sam.attend(first, [sam.remember(first)]), sam.attend(first, [sam.remember(second)])
        assert not torch.allclose(alone, other)
        prompt = torch.full((1, 1, 4, 4), -10.0)
        before = sam.decode(alone, first, None, prompt)[0]
        after = sam.decode(alone, first, None, -prompt)[0]
    assert not torch.allclose(before, after)


def test_without_memory_and_mask_prompt():
    sam = _sam(num_memories=0, mask_prompt=False)
    features = sam.encode(torch.rand(2, 3, 64, 64))
    mask = sam.decode(sam.attend(features, []), features, None, None)[0]
    assert mask.shape == (2, 1, 16, 16)
    with pytest.raises(ValueError, match="memories"):
        _sam().attend(features, [])


def test_image_size_must_fit_the_strides():
    with pytest.raises(ValueError, match="image_size"):
        SegmentAnything(**{**SMALL, "image_size": 72})


def test_trains_after_it_ran_in_inference_mode():
    sam = _sam()
    pictures = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        features = sam.encode(pictures)
        sam.attend(features, [sam.remember(features)])
    features = sam.encode(pictures)
    sam.attend(features, [sam.remember(features)]).sum().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in sam.parameters())


def test_weights_of_a_model_built_without_memory_can_be_assigned():
    reference = _sam()
    with torch.device("meta"):
        empty = SegmentAnything(**{**SMALL, "num_memories": 2})
    assert all(p.is_meta for p in empty.parameters())
    empty.load_state_dict(reference.state_dict(), assign=True)
    pictures = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        results = []
        for sam in (reference, empty.eval()):
            features = sam.encode(pictures)
            results.append(sam.attend(features, [sam.remember(features)]))
    assert torch.equal(*results)


def test_import_is_silent():
    command = [sys.executable, "-c", "import b2scvr.backbones.sam2, torch; assert not torch.cuda.is_initialized()"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout == "" and done.stderr == ""
