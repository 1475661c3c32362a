"""Every ablation of the recovery network at full size: what it changes, and that it runs, without memory for weights."""

from functools import lru_cache
from pathlib import Path

import pytest
import torch

from b2scvr.config import load_config
from b2scvr.engine.settings import read_settings
from b2scvr.registry import MODELS

FOLDER = Path(__file__).resolve().parents[2] / "configs" / "cfc" / "ablation"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))


@lru_cache
def build(name):
    config = load_config(FOLDER / f"{name}.py")
    with torch.device("meta"):
        return config, MODELS.build(config["cfc"])


def test_the_paper_s_options_and_ours_are_there():
    experts, gates = {"experts_1", "experts_3"}, {"gate_linear", "gate_none"}
    ours = {"flow_codec", "flow_codec_alone", "flow_codec_start"}
    assert set(NAMES) == experts | gates | ours | {"no_augmentation", "oracle_masks"}


@pytest.mark.parametrize("name", NAMES)
def test_it_changes_what_its_name_says_and_runs_at_full_size(name):
    config, network = build(name)
    _, stages = read_settings(config)
    changed = {
        "experts_1": network.experts.num_experts == 1,
        "experts_3": network.experts.num_experts == 3,
        "gate_linear": network.experts.gate_kind == "linear" and network.embedder is None,
        "gate_none": network.experts.gate_kind == "none" and network.embedder is None,
        "no_augmentation": network.augmentation is None and network.trunk is None,
        "oracle_masks": stages["recover"].view.oracle_masks,
        "flow_codec": network.window_flow.source == "codec" and network.flow is not None,
        "flow_codec_alone": network.window_flow.source == "codec" and network.flow is None,
        "flow_codec_start": network.window_flow.source == "codec_start",
    }
    assert [key for key, value in changed.items() if value] == [name]
    assert config["train"]["work_dir"].endswith(name) and config["checkpoint"].endswith(f"{name}/weights.safetensors")
    pictures = torch.empty(1, 3, 3, 60, 100, device="meta")
    mask = torch.empty(1, 3, 1, 60, 100, device="meta")
    vectors = torch.empty(1, 2, 1, 3, 8, 13, device="meta")
    out = network.eval()(pictures, mask, 2, vectors=vectors)
    assert out.pictures.shape == pictures.shape
    assert out.gate_weights.shape == (1, 2, network.experts.num_experts)


TINY = {
    "gate_embedding": {},
    "gate_linear": {"experts.gate": "linear"},
    "gate_none": {"experts.gate": "none"},
    "experts_1": {"experts.num_experts": 1},
    "experts_3": {"experts.num_experts": 3},
    "no_augmentation": {"augment": False},
    "stack": {"trust": 0.0},
}


def test_the_small_ones_differ_in_what_their_names_say_and_share_their_training():
    assert {path.stem for path in (FOLDER / "tiny").glob("*.py")} == set(TINY)
    base = load_config(FOLDER / "tiny" / "gate_embedding.py")
    for name, changes in TINY.items():
        config = load_config(FOLDER / "tiny" / f"{name}.py")
        same = load_config(
            FOLDER / "tiny" / "gate_embedding.py", [f"cfc.{key}={value}" for key, value in changes.items()]
        )
        assert config["cfc"] == same["cfc"]
        assert config["stages"] == base["stages"]
        trained = "gate_embedding" if name == "stack" else name  # the stack alone needs no weights of its own
        assert config["checkpoint"] == f"work_dirs/cfc_ablation/tiny/{trained}/weights.safetensors"
