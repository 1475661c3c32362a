"""The benchmark of schedules: what it refuses. What it measures: tests/engine/test_recover_benchmark.py."""

import importlib.util
from pathlib import Path

import pytest

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
