"""Every config of a full-size recovery network builds, and its shapes hold, without a byte of its weights."""

from functools import lru_cache
from pathlib import Path

import pytest
import torch

from b2scvr.config import load_config
from b2scvr.engine.settings import check_network
from b2scvr.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / "configs" / "cfc").glob("*.py"))
BACKBONES = ("trunk", "embedder")


@lru_cache
def build(path):
    """The config and its network, without memory for weights."""
    config = load_config(path)
    with torch.device("meta"):
        return config, MODELS.build(config["cfc"])


def test_there_are_configs():
    assert {path.stem for path in CONFIGS} >= {"official", "corrected", "bscvr_p", "e2fgvi_hq"}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shapes_of_any_window(path):
    config, network = build(path)
    check_network("cfc", config["cfc"])
    assert config["checkpoint"].endswith(".safetensors")
    for batch, count, local, size in ((2, 3, 2, (100, 130)), (1, 1, 1, (60, 108))):
        pictures = torch.empty(batch, count, 3, *size, device="meta")
        out = network(pictures, torch.empty(batch, count, 1, *size, device="meta"), local)
        assert out.pictures.shape == pictures.shape
        assert out.flow_forward.shape[:3] == (batch, local - 1, 2)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_backbones_are_frozen_and_something_is_trained(path):
    _, network = build(path)
    network.train()
    for name in BACKBONES:
        backbone = getattr(network, name)
        if backbone is not None:
            assert not any(p.requires_grad for p in backbone.parameters())
            assert not any(module.training for module in backbone.modules())
    assert any(p.requires_grad for p in network.parameters())


def test_presets_of_the_published_size_share_their_weights():
    official, corrected = (build(ROOT / "configs" / "cfc" / f"{name}.py")[1] for name in ("official", "corrected"))
    shapes = [{name: value.shape for name, value in net.state_dict().items()} for net in (official, corrected)]
    assert shapes[0] == shapes[1]
