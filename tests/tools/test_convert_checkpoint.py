"""The conversion tool: what it writes, what it says, its exit codes."""

import importlib.util
from pathlib import Path

import pytest
import torch

from b2scvr.checkpoints.load import load_weights, read_metadata, save_weights
from b2scvr.layers.temporal_gan import TemporalPatchDiscriminator

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("convert_tool", ROOT / "tools" / "convert_checkpoint.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def small(tool, monkeypatch):
    """The tool with a small discriminator in place of the full one, and a state dict of it."""
    build = lambda: TemporalPatchDiscriminator(widths=(4, 4))  # noqa: E731
    kind = tool.Kind("discriminator", tool.DISCRIMINATOR, build, "published_discriminator")
    monkeypatch.setitem(tool.KINDS, "discriminator", kind)
    torch.manual_seed(0)
    return build().state_dict()


def test_a_file_that_fits_is_written_beside_other_networks(tool, small, tmp_path, capsys):
    output = tmp_path / "out.safetensors"
    save_weights(output, {"cfc": {"weight": torch.ones(2)}})
    torch.save({f"module.{name}": value for name, value in small.items()}, tmp_path / "dis.pth")
    assert tool.main([str(tmp_path / "dis.pth"), "--output", str(output)]) == 0
    shown = capsys.readouterr().out
    assert "discriminator" in shown and "5 tensors fit" in shown and "0 missing" in shown
    network, other = TemporalPatchDiscriminator(widths=(4, 4)), torch.nn.Module()
    other.weight = torch.nn.Parameter(torch.zeros(2))
    load_weights(output, {"discriminator": network, "cfc": other})
    assert all(torch.equal(value, small[name]) for name, value in network.state_dict().items())
    assert torch.equal(other.weight, torch.ones(2))
    said = read_metadata(output)
    assert said["discriminator_kind"] == "discriminator" and said["discriminator_source"] == "dis.pth"
    assert len(said["discriminator_source_sha256"]) == 64


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"conv.9.weight": torch.ones(1)}, "1 unexpected"),
        ({"conv.2.bias": torch.ones(5)}, "1 misshapen"),
        ({"conv.2.bias": torch.full((4,), float("nan"))}, "1 not finite"),
    ],
)
def test_what_does_not_fit_is_reported_and_not_written(tool, small, tmp_path, capsys, change, said):
    torch.save({**small, **change}, tmp_path / "dis.pth")
    output = tmp_path / "out.safetensors"
    assert tool.main([str(tmp_path / "dis.pth"), "--output", str(output)]) == 3
    shown = capsys.readouterr()
    assert said in shown.out
    assert "does not fit discriminator; nothing is written" in shown.err
    assert not output.exists()


@pytest.mark.parametrize(
    ("names", "arguments", "said"),
    [
        (["features.0.weight", "classifier.bias"], [], r"its weights (classifier, features) are of none of b2scvr,"),
        (["feat_refine_module.input_proj.weight"], [], "BSCVR-S, which cannot be built: of its refinement module"),
        (["conv.0.weight_orig"], ["--kind", "detector"], "holds the weights of discriminator, not of detector"),
    ],
)
def test_another_network_is_named(tool, tmp_path, capsys, names, arguments, said):
    torch.save({name: torch.ones(1) for name in names}, tmp_path / "other.pth")
    assert tool.main([str(tmp_path / "other.pth"), *arguments]) == 3
    assert said in capsys.readouterr().err


def test_files_that_cannot_be_read(tool, tmp_path, capsys):
    (tmp_path / "text.pth").write_text("no weights")
    for name, said in (("text.pth", "not a file of weights"), ("absent.pth", "weights not found")):
        assert tool.main([str(tmp_path / name)]) == 3
        assert said in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        tool.main([])
    assert stopped.value.code == 2


def test_each_kind_builds_the_network_of_its_config(tool):
    for name, kind in tool.KINDS.items():
        with torch.device("meta"):
            state = kind.build().state_dict()
        assert len(state) > 10, name
