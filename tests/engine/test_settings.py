"""Configs: what is misspelt is refused, and the nearest name is given."""

from pathlib import Path

import pytest

from b2scvr.config import load_config
from b2scvr.engine.settings import read_settings

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "b2scvr_tiny.py"


def test_the_default_config_is_valid():
    run, stages = read_settings(load_config(CONFIG))
    assert list(stages) == ["detect", "recover"]
    assert run.export == "checkpoints/b2scvr_tiny.safetensors"
    assert stages["recover"].view.crop is not None


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("stages.recover.warm_up=3", r"stages\.recover: unknown key 'warm_up'; did you mean 'warmup'"),
        ("stages.detection.lr=1", "unknown key 'detection'; did you mean 'detect'"),
        ("train.worker=1", r"train: unknown key 'worker'; did you mean 'workers'"),
        ("dac.temprature=1", "dac: unknown key 'temprature'; did you mean 'temperature'"),
        ("cfc.type=RecoverNet", "cfc: no model is called 'RecoverNet'"),
        ("optimizer.lr=1", "the config: unknown key 'optimizer'"),
        ("stages.recover.batch=0", "batch must be at least 1"),
        ("stages.recover.lr=-1", "stages.recover: lr must be above 0"),
        ("stages.recover.lr=abc", "stages.recover.lr must be a number, got 'abc'"),
        ("stages.recover.lr=nan", "lr must be above 0, got nan"),
        ("stages.recover.ema=1.5", "ema and betas must lie in .0, 1., got 1.5"),
        ("stages.detect.warmup=-5", "stages.detect: warmup must be at least 0, got -5"),
        ("stages.recover.crop=(100,100)", r"stages.recover: crop \(100, 100\) must be multiples of 16"),
        ("stages.detect=3", "stages.detect must be a mapping of settings, got 3"),
        ("stages=7", "stages must be a mapping of settings, got 7"),
        ("train=7", "train must be a mapping of settings, got 7"),
        ("train.seed=-1", r"train\.seed must be at least 0, got -1"),
        ("train.keep=0", r"train\.keep must be at least 1"),
        ("train.workers=-1", r"train\.workers must be at least 0"),
        ("train.passes=0", r"train\.passes must be at least 1"),
        ("train.damage.rpt=1", "'rpt' is no kind .did you mean 'rtp'"),
        ("train.damage.rtp=-1", "no kind has a weight above 0"),
        ("train.moving_camera=2", r"train\.moving_camera must lie in \[0, 1\], got 2"),
        ("train.dependents=-1", r"train\.dependents must lie in \[0, 1\], got -1"),
        ("train.round_batches=0", r"train\.round_batches must be at least 1"),
        ("stages.detect.schedule=linear", "schedule must be one of cosine, step, got 'linear'"),
        ("stages.detect.schedule=step", "milestones belong to the schedule 'step'"),
        ("stages.detect.milestones=[100,200]", "milestones belong to the schedule 'step'"),
    ],
)
def test_nonsense_is_refused_with_the_nearest_name(option, message):
    with pytest.raises(ValueError, match=message):
        read_settings(load_config(CONFIG, [option]))


@pytest.mark.parametrize("milestones", [[200, 100], [100, 100], [100, 2200]])
def test_milestones_rise_and_lie_within_the_run(milestones):
    options = ["stages.detect.schedule=step", f"stages.detect.milestones={milestones}"]
    with pytest.raises(ValueError, match="milestones must rise and lie before the last of 2200 steps"):
        read_settings(load_config(CONFIG, [option.replace(" ", "") for option in options]))


def test_a_missing_key_is_named(tmp_path):
    path = tmp_path / "config.py"
    path.write_text("dac = dict(type='Detector')\nstages = dict(detect=dict(steps=1, batch=1))\n")
    with pytest.raises(ValueError, match="'lr'"):
        read_settings(load_config(path))
    path.write_text("stages = dict(detect=dict(steps=1, batch=1, lr=1e-3))\n")
    with pytest.raises(ValueError, match="trains 'dac', which the config does not have"):
        read_settings(load_config(path))
    path.write_text("dac = dict(type='Detector')\n")
    with pytest.raises(ValueError, match="nothing to train"):
        read_settings(load_config(path))
