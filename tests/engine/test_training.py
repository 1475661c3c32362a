"""A whole training run of the real networks: both stages, stopped and resumed, exported into one file."""

from pathlib import Path

import pytest
import torch

from b2scvr.checkpoints.known import VARIABLE, MissingWeightsError
from b2scvr.checkpoints.load import read_metadata, read_weights, save_weights
from b2scvr.config import load_config
from b2scvr.data.endless import EndlessPairs
from b2scvr.engine.training import train
from b2scvr.types import InputError

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "b2scvr_tiny.py"


@pytest.fixture
def make_config(tmp_path, cache):
    def make(name, *options):
        chosen = [
            f"train.work_dir={tmp_path / name}", f"train.export={tmp_path / name}.safetensors", f"train.data={cache}",
            "train.workers=0", "stages.detect.steps=2", "stages.detect.batch=1", "stages.recover.steps=2",
            "stages.recover.batch=1", "stages.recover.crop=(64,64)", *options,
        ]  # fmt: skip
        return load_config(CONFIG, chosen)

    return make


def test_both_stages_stopped_at_every_step_give_the_same_weights(make_config, tmp_path):
    assert train(make_config("straight"), device="cpu")
    stopping = make_config("stopped", "train.max_minutes=0")
    calls = 0
    while not train(stopping, resume="auto", device="cpu"):
        calls += 1
        assert calls < 5
    assert calls > 1
    straight, stopped = (read_weights(tmp_path / name / "weights.safetensors") for name in ("straight", "stopped"))
    assert straight.keys() == stopped.keys()
    assert {key.partition(".")[0] for key in straight} == {"dac", "cfc"}
    assert all(torch.equal(straight[key], stopped[key]) for key in straight)
    header = read_metadata(tmp_path / "straight" / "weights.safetensors")
    assert header["dac_steps"] == "2" and header["cfc.downscale"] == "2"
    assert (tmp_path / "straight" / "config.py").is_file()


def test_one_stage_alone_leaves_the_other_out(make_config, tmp_path):
    assert train(make_config("one"), stage="detect", device="cpu")
    assert {key.partition(".")[0] for key in read_weights(tmp_path / "one" / "weights.safetensors")} == {"dac"}
    with pytest.raises(ValueError, match="holds a run already"):
        train(make_config("one"), stage="detect", device="cpu")
    with pytest.raises(ValueError, match="belongs to another config"):
        train(make_config("one", "stages.detect.lr=1e-5"), stage="detect", resume="auto", device="cpu")


def test_weights_outside_the_work_folder_change_only_when_asked_to(make_config, tmp_path):
    shipped = tmp_path / "run.safetensors"
    save_weights(shipped, {"cfc": {"weight": torch.ones(1)}})
    before = shipped.read_bytes()
    config = make_config("run", "stages.detect.steps=1")
    train(config, stage="detect", device="cpu")
    assert shipped.read_bytes() == before
    assert train(config, stage="detect", resume="auto", device="cpu", publish=True)
    assert {key.partition(".")[0] for key in read_weights(shipped)} == {"dac", "cfc"}
    with pytest.raises(ValueError, match=r"--publish needs train\.export"):
        train(make_config("other", "train.export=None"), device="cpu", publish=True)


def test_bad_runs_are_refused_before_training(make_config, tmp_path):
    with pytest.raises(InputError, match="no training samples"):
        train(make_config("run"), data=str(tmp_path / "absent"), device="cpu")
    with pytest.raises(ValueError, match="belongs to one stage"):
        train(make_config("run"), resume=str(tmp_path / "step_00000001.pt"), device="cpu")
    with pytest.raises(FileNotFoundError, match="checkpoint not found"):
        train(make_config("run"), resume=str(tmp_path / "step_00000001.pt"), stage="detect", device="cpu")
    for option, message in (
        ("train.precision=fp8", "precision"),
        ("dac.sam.image_sze=64", "dac: SegmentAnything: unknown key 'image_sze'; did you mean 'image_size'"),
        ("stages.detect.loss.dice=2", r"stages\.detect\.loss: unknown key 'dice'; did you mean 'dice_weight'"),
    ):
        with pytest.raises(ValueError, match=message):
            train(make_config("run", option), stage="detect", device="cpu")
    with pytest.raises(ValueError, match=r"stages\.recover\.stacked: this RecoveryNetwork does not start at a stack"):
        train(make_config("run", "cfc.stack=False", "cfc.trust=1.0"), stage="recover", device="cpu")
    assert not (tmp_path / "run").exists()


def test_published_weights_are_wanted_unless_switched_off(make_config, tmp_path, monkeypatch):
    for name in (VARIABLE, "TORCH_HOME", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    options = ("dac.sam_weights=sam2.1_hiera_t", "pretrained=True")
    with pytest.raises(MissingWeightsError, match=r"sam2\.1_hiera_tiny\.pt.*156 MB.*pretrained=False"):
        train(make_config("wanted", *options), stage="detect", device="cpu")
    assert train(make_config("scratch", options[0], "pretrained=False"), stage="detect", device="cpu")


def test_pairs_without_end_are_trained_on_and_gone_on_with(make_config, tmp_path, monkeypatch):
    wanted = []

    def batches(self, size, start, stop, *_, **__):
        wanted.append((self.footage.name, self.folder, self.settings.dependents, size, start, stop))
        yield from self.open_round(cache_of(config)).batches(size, start, stop)

    def cache_of(config):
        return Path(config.train.data)

    monkeypatch.setattr(EndlessPairs, "batches", batches)
    footage = tmp_path / "footage"
    footage.mkdir()
    with pytest.raises(InputError):
        train(make_config("endless"), stage="detect", device="cpu", footage=str(footage))
    (footage / "a.mp4").touch()
    config = make_config("endless", "train.dependents=0.5", "train.max_minutes=0")
    assert not train(config, stage="detect", device="cpu", footage=str(footage))
    assert train(config, stage="detect", device="cpu", footage=str(footage), resume="auto")
    folder = tmp_path / "endless" / "detect" / "pairs"
    assert wanted == [("footage", folder, 0.5, 1, 0, 2), ("footage", folder, 0.5, 1, 1, 2)]
    with pytest.raises(ValueError, match=r"belongs to another config: .*footage\.dependents was 0\.5 and is now None"):
        train(make_config("endless"), stage="detect", device="cpu", resume="auto")
    with pytest.raises(ValueError, match="choose --data or --footage"):
        train(config, data="cache", footage="footage", device="cpu")
