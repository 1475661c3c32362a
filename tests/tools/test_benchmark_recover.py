"""The benchmark of schedules: real clips, what it refuses. What else it measures: tests/engine/test_recover_benchmark.py."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from b2scvr.bitstream.encode import encode_h264
from b2scvr.cfc import RecoveryGenerator
from b2scvr.checkpoints.load import save_weights

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("benchmark_tool", ROOT / "tools" / "benchmark.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--schedule", "slow"], "schedule must be one of published, exact, fast, splice, got slow"),
        (["--branch", "1"], "unknown branch '1': known are 144096"),
        (["--size", "small"], "--size must be WIDTHxHEIGHT, got 'small'"),
    ],
)
def test_nonsense_about_schedules_is_refused(tool, capsys, options, message):
    with pytest.raises(SystemExit) as stop:
        tool.main(["recover", *options])
    assert stop.value.code == 2 and message in capsys.readouterr().err


def test_footage_that_is_not_there_is_told(tool, tmp_path, capsys):
    assert tool.main(["recover", "--footage", str(tmp_path / "none")]) == 3
    assert "none" in capsys.readouterr().err


@pytest.fixture
def judged(tmp_path, pictures, small_generator):
    """Arguments of a run: one short clip, a very small network with random weights."""
    folder, config, weights = (tmp_path / name for name in ("clips", "config.py", "weights.safetensors"))
    folder.mkdir()
    (folder / "clip.h264").write_bytes(encode_h264(pictures, crf=20))
    config.write_text(
        f"dac = dict(type='ConcealedMacroblocks')\ncfc = dict(type='RecoveryGenerator', **{small_generator!r})\n"
    )
    torch.manual_seed(0)
    save_weights(weights, {"cfc": RecoveryGenerator(**small_generator).state_dict()})
    paths = ["--footage", str(folder), "--config", str(config), "--checkpoint", str(weights)]
    return ["recover", *paths, "--frames", "8", "--json"]


def test_schedules_judged_on_the_same_twin(tool, judged, capsys):
    assert tool.main([*judged, "--schedule", "published", "exact", "splice"]) == 0
    found = {row["method"]: row for row in json.loads(capsys.readouterr().out)["results"]}
    assert list(found) == ["concealment", "published", "exact", "splice"]
    concealment, published, exact, splice = (row["psnr"] for row in found.values())
    assert exact == pytest.approx(published, abs=1e-2) and abs(published - concealment) > 0.01
    assert np.isfinite(splice) and abs(splice - published) > 1e-3
    assert len({(row["damaged"], row["broken"]) for row in found.values()}) == 1


def test_unknown_schedules_of_footage_are_named(tool, judged, capsys):
    with pytest.raises(SystemExit):
        tool.main([*judged, "--schedule", "slow"])
    assert "one of published, exact, fast, splice, got slow" in capsys.readouterr().err
