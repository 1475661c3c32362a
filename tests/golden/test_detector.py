"""The published detector: every name has a place, and neck, tokens and mask decoder compute what they computed.

Takes a minute: `pytest -m heavy tests/golden`.
"""

import json
import re

import numpy as np
import pytest
import torch

from b2scvr.checkpoints.detector_keys import DETECTOR
from b2scvr.checkpoints.keys import load_published
from b2scvr.checkpoints.load import compare_keys
from b2scvr.dac.official import PublishedDetector

TOLERANCE = 1e-4  # of the stage's standard deviation
DINOV2 = "sam_mask_decoder.mv_tokenizer.backbone."
MASK_TOKEN = f"{DINOV2}mask_token"
OURS = "tokens.embedder.vit."

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def keys(golden):
    """Name -> (shape, type) of the published detector's weights but for DINOv2's."""
    return json.loads((golden / "dac_keys_without_dinov2.json").read_text())


@pytest.fixture(scope="module")
def reference(golden):
    return np.load(golden / "dac_decoder.npz")


@pytest.fixture(scope="module")
def network(fill, keys):
    """The detector as published, filled by the published names; DINOv2 keeps the weights that it was built with."""
    network = PublishedDetector().eval()
    published = {
        key: torch.from_numpy(fill.fill_array(key, tuple(shape)))
        for key, (shape, kind) in keys.items()
        if kind == "float32"
    }
    left = network.load_state_dict(DETECTOR.translate(published).weights, strict=False)
    assert all(key.startswith(OURS) for key in left.missing_keys) and left.unexpected_keys == []
    return network


def noise(seed, shape):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))


def error(found, expected, deviation=None):
    """Largest difference in units of the stage's standard deviation."""
    scale = expected.std() if deviation is None else deviation
    return float(np.abs(np.asarray(found, np.float64).reshape(-1) - expected.reshape(-1)).max() / scale)


def test_every_published_name_has_a_place(keys):
    with torch.device("meta"):
        network = PublishedDetector()
    ours = network.state_dict()
    published = {key: torch.empty(shape, device="meta") for key, (shape, _) in keys.items()}
    published |= {DINOV2 + k.removeprefix(OURS): v for k, v in ours.items() if k.startswith(OURS)}
    published[MASK_TOKEN] = torch.empty(1, 384, device="meta")
    translation = DETECTOR.translate(published)
    assert compare_keys(ours, translation.weights) == ""
    assert translation.unknown == []
    assert (len(translation.weights), len(translation.computed), len(translation.unused)) == (832, 1, 3)
    assert len(published) == 836


def test_neck(network, reference):
    rng = np.random.default_rng(7)
    x = rng.standard_normal((2, 256, 64, 64), dtype=np.float32)
    tokens = rng.standard_normal((2, 256, 121), dtype=np.float32)
    with torch.inference_mode():
        out = network.sam.sam_mask_decoder.neck(torch.from_numpy(x), torch.from_numpy(tokens).transpose(1, 2))
    sample = out.flatten().numpy()[:: int(reference["neck_stride"])][: reference["neck_sample"].size]
    assert error(sample, reference["neck_sample"], reference["neck_std"]) < TOLERANCE


def test_tokens_and_mask_decoder(network, reference):
    sam, tokeniser = network.sam, network.tokens
    with torch.inference_mode():
        letter = torch.tensor([[0.0, 1.0, 0.0]])  # P
        tokens = tokeniser.combine(torch.zeros(1, 5476, 384), letter)
        vectors = tokeniser.vector_proj(torch.zeros(1, 56, 384))[0]
        with sam.sam_mask_decoder.prompted(tokens):
            masks, iou, sam_tokens, score = sam.sam_mask_decoder(
                noise(11, (1, 256, 64, 64)),
                sam.sam_prompt_encoder.get_dense_pe(),
                noise(12, (1, 2, 256)),
                noise(13, (1, 256, 64, 64)),
                multimask_output=True,
                repeat_image=False,
                high_res_features=[noise(14, (1, 32, 256, 256)), noise(15, (1, 64, 128, 128))],
            )
    assert list(masks.shape) == list(reference["masks_shape"])
    sample = masks.flatten().numpy()[:: int(reference["masks_stride"])][: reference["masks_sample"].size]
    assert error(vectors.T, reference["mv_tokens"]) < TOLERANCE
    assert error(tokens[0, :56], reference["mv_tokens_mlp"]) < TOLERANCE
    assert error(tokens[:, 56], reference["pm_token"]) < TOLERANCE
    assert error(sample, reference["masks_sample"]) < TOLERANCE
    assert error(iou, reference["iou"]) < TOLERANCE
    assert error(sam_tokens, reference["sam_tokens"]) < TOLERANCE
    assert error(score, reference["object_score"], 1.0) < TOLERANCE


def test_the_checkpoint_file_loads(network, tmp_path):
    """A file laid out as the published one, training state beside the weights, gives the same network back."""
    back = {ours: published for published, ours in published_names(network).items()}
    state = {back[name]: value for name, value in network.state_dict().items()}
    state[MASK_TOKEN] = torch.zeros(1, 384)
    torch.save({"model": state, "epoch": 50, "optimizer": {"lr": 5e-6}}, tmp_path / "checkpoint.pt")
    other = PublishedDetector()
    load_published(tmp_path / "checkpoint.pt", other, DETECTOR)
    mine, theirs = network.state_dict(), other.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def published_names(network):
    """Published name -> ours, by renaming back the few families of names that differ."""
    changes = (
        (r"^tokens\.embedder\.vit\.", DINOV2),
        (r"^tokens\.vector_proj\.", "sam_mask_decoder.mv_tokenizer.proj."),
        (r"^tokens\.vector_mlp\.", "sam_mask_decoder.token_mlp."),
        (r"^tokens\.letter_proj\.", "sam_mask_decoder.pm_tokenizer."),
        (r"^tokens\.degradation$", "sam_mask_decoder.degradation_embeddings"),
        (r"^sam\.", ""),
        (r"\.neck\.norm_in\.", ".neck.patch_embed.norm."),
        (r"\.neck\.norm_out\.", ".neck.norm."),
        (r"\.neck\.blocks\.(\d)\.layers\.", r".neck.layers.\1.residual_group.layers."),
        (r"\.neck\.blocks\.(\d)\.conv\.", r".neck.layers.\1.conv."),
        (r"\.refinement\.sigma$", ".sigma"),
        (r"\.refinement\.", ".norm3."),
        (r"\.convffn\.dwconv\.", ".convffn.dwconv.depthwise_conv.0."),
    )
    names = {}
    for ours in network.state_dict():
        published = ours
        for pattern, replacement in changes:
            published = re.sub(pattern, replacement, published)
        names[published] = ours
    return names
