"""The calibration tool: numbers into the header, weights as they were, refusals in a sentence."""

import importlib.util
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from b2scvr.bitstream.reader import decode
from b2scvr.checkpoints.load import read_weights, save_weights
from b2scvr.config import load_config
from b2scvr.dac.calibration import Calibration
from b2scvr.data.cache import SampleEntry, write_json
from b2scvr.data.sample import SAMPLE_VERSION, TrainingSample, save_sample
from b2scvr.fill import surroundings
from b2scvr.ops.masks import damage_mask
from b2scvr.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
CONFIG = str(ROOT / "configs" / "dac" / "ablation" / "all.py")


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("calibrate_tool", ROOT / "tools" / "calibrate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def samples(tmp_path_factory, clean_stream, damaged_stream):
    folder = tmp_path_factory.mktemp("samples")
    clean, damaged = decode(clean_stream).clip, decode(damaged_stream).clip
    entries = []
    for slot in [int(slot) for slot in range(len(damaged)) if damaged.status[slot]][:3]:
        around, target = surroundings(damaged, slot), clean.frames[slot]
        differs = (around.decoded != target).any(2).reshape(6, 16, 8, 16).any((1, 3))
        save_sample(
            folder / f"{slot}.npy", TrainingSample(around, target, damage_mask(around.decoded, target), differs)
        )
        entries.append(SampleEntry(f"{slot}.npy", "clip", 0, slot, around.broken, 128, 96))
    write_json(folder / "index.json", {"version": SAMPLE_VERSION, "samples": [asdict(entry) for entry in entries]})
    return folder


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "weights.safetensors"
    save_weights(path, {"dac": MODELS.build(load_config(CONFIG).dac).state_dict()})
    return path


def test_the_header_gets_the_calibration_and_the_weights_stay(tool, samples, weights, tmp_path, capsys):
    before, copy = read_weights(weights), tmp_path / "copy.safetensors"
    arguments = [CONFIG, "--data", str(samples), "--checkpoint", str(weights), "--samples", "2"]
    assert tool.main([*arguments, "--output", str(copy)]) == 0
    assert "| before |" in capsys.readouterr().out
    assert Calibration.of_weights(weights) == Calibration() != Calibration.of_weights(copy)
    assert tool.main(arguments) == 0
    assert Calibration.of_weights(weights) == Calibration.of_weights(copy)
    for path in (weights, copy):
        after = read_weights(path)
        assert after.keys() == before.keys() and all(torch.equal(after[key], before[key]) for key in before)


@pytest.mark.parametrize(
    ("config", "data", "code", "words"),
    [
        ("configs/vector_fill.py", "samples", 2, "no numbers that can be calibrated"),
        ("configs/dac/ablation/all.py", "nowhere", 3, "nowhere"),
        ("configs/none_such.py", "samples", 2, "config not found"),
    ],
)
def test_wrong_use(tool, samples, weights, capsys, config, data, code, words):
    folder = samples if data == "samples" else samples / data
    arguments = [str(ROOT / config), "--data", str(folder), "--checkpoint", str(weights)]
    assert tool.main(arguments) == code
    assert words in capsys.readouterr().err
