"""train.py: exit codes and messages."""

import importlib.util
from pathlib import Path

import pytest

from b2scvr.engine import training
from b2scvr.engine.trainer import TrainingStoppedError

ROOT = Path(__file__).resolve().parents[2]
CONFIG = str(ROOT / "configs" / "b2scvr_tiny.py")


@pytest.fixture(scope="module")
def program():
    spec = importlib.util.spec_from_file_location("train_program", ROOT / "train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["absent.py"], 2, "config not found"),
        ([CONFIG, "--cfg-options", "stages.recover.lrr=1"], 2, "did you mean 'lr'"),
        ([CONFIG, "--cfg-options", "lr"], 2, "key=value"),
        ([CONFIG, "--cfg-options", "stages.recover.frozen=['(*']"], 2, "Imbalanced brackets"),
        (
            [CONFIG, "--cfg-options", "stages.recover.loss=dict(hole_weight=1,valid_weight=1)"],
            2,
            "a dictionary is written {'key': 1}",
        ),
        ([CONFIG, "--cfg-options", "stages.recover.loss={'hole_weight'"], 2, "was never closed"),
        ([CONFIG, "--cfg-options", "stages.recover.loss={'hol_weight': 1}"], 2, "hol_weight"),
        ([CONFIG, "--cfg-options", "stages.recover.batch=3", "stages.recover.accumulate=2"], 2, "does not divide"),
        ([CONFIG, "--work-dir", CONFIG, "--data", "absent", "--device", "cpu"], 2, "is a file; choose a folder"),
        ([str(ROOT / "README.md")], 2, "README.md: not a config that can be read"),
        (
            [CONFIG, "--footage", "absent", "--device", "cpu", "--stage", "detect"],
            3,
            "absent: no such folder of footage",
        ),
        ([CONFIG, "--data", "absent", "--device", "cpu"], 3, "tools/make_pairs.py"),
    ],
)
def test_errors_are_one_line_and_an_exit_code(program, arguments, code, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert program.main(arguments) == code
    shown = capsys.readouterr().err
    assert message in shown and shown.startswith("train: ") and len(shown.splitlines()) == 1
    assert not (tmp_path / "work_dirs").exists()


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), TrainingStoppedError("detect: a process that makes samples died")]
)
def test_what_the_machine_does_is_exit_code_1_and_says_how_to_go_on(program, error, capsys, monkeypatch):
    def stops(*_):
        raise error

    monkeypatch.setattr(training, "train", stops)
    assert program.main([CONFIG]) == 1
    shown = capsys.readouterr().err
    assert str(error) in shown and "--resume auto goes on" in shown and len(shown.splitlines()) == 1
