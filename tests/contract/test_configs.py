"""Every config can be read and built, whatever its size; what it says of training and of weights holds together."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch

from b2scvr.checkpoints.known import KNOWN, VARIABLE, MissingWeightsError
from b2scvr.config import load_config
from b2scvr.engine.settings import check_network, read_settings
from b2scvr.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = [path for path in sorted((ROOT / "configs").rglob("*.py")) if path.parent.name != "_base_"]
FULL = [path for path in CONFIGS if path.parent.name == "dac" and path.stem.startswith("sam2.1")]
SIZES_M = {"t": 39, "s": 46, "b+": 81, "l": 224}  # parameters of SAM 2.1, as its README says


@cache
def built(path):
    """The networks of a config by name, on the meta device: nothing is allocated."""
    config = load_config(path)
    with torch.device("meta"):
        return {part: MODELS.build(config[part]) for part in ("dac", "cfc")}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_config_builds_on_the_meta_device(path):
    for network in built(path).values():
        if isinstance(network, torch.nn.Module):
            parameters = list(network.parameters())
            assert parameters and all(p.is_meta for p in parameters)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_config_says_known_things_only(path):
    config = load_config(path)
    for part in ("dac", "cfc"):
        check_network(part, config[part])
    if "stages" in config:
        _, stages = read_settings(config)
        assert stages


@pytest.mark.parametrize("path", FULL, ids=lambda p: p.stem)
def test_the_full_detector_has_the_parts_of_sam_of_its_size(path):
    detector = built(path)["dac"]
    size = detector.sam_weights.rpartition("_")[2]
    assert path.stem == detector.sam_weights and detector.sam_weights in KNOWN
    millions = sum(p.numel() for p in detector.sam.parameters()) / 1e6
    assert abs(millions - SIZES_M[size]) < 2, millions


@pytest.mark.parametrize("path", FULL, ids=lambda p: p.stem)
def test_missing_weights_of_the_full_detector_are_named(path, tmp_path, monkeypatch):
    for name in ("TORCH_HOME", "HF_HOME", "HF_HUB_CACHE", VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    detector = built(path)["dac"]
    assert load_config(path).pretrained and not load_config(path, ["pretrained=False"]).pretrained
    with pytest.raises(MissingWeightsError, match=KNOWN[detector.sam_weights].file):
        detector.load_pretrained()


def test_there_is_one_full_config_for_each_size():
    assert {path.stem.rpartition("_")[2] for path in FULL} == set(SIZES_M)
