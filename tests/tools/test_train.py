"""train.py: exit codes and messages."""

import importlib.util
from pathlib import Path

import pytest

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
        ([CONFIG, "--data", "absent", "--device", "cpu"], 3, "tools/make_pairs.py"),
    ],
)
def test_errors_are_one_line_and_an_exit_code(program, arguments, code, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert program.main(arguments) == code
    shown = capsys.readouterr().err
    assert message in shown and shown.startswith("train: ") and len(shown.splitlines()) == 1
    assert not (tmp_path / "work_dirs").exists()
