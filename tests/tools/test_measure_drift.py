"""The tool that measures drift correction: its table and its exit codes."""

import importlib.util
from pathlib import Path

import pytest

from b2scvr.bitstream.encode import encode_h264

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("measure_drift", ROOT / "tools" / "measure_drift.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def footage(tmp_path, pictures):
    (tmp_path / "texture.h264").write_bytes(encode_h264(pictures, crf=5))
    return tmp_path


def rows(shown):
    table = [[cell.strip() for cell in line.strip("| \n").split("|")] for line in shown.splitlines()]
    return {row[0]: row[1:] for row in table[2:]}


@pytest.mark.parametrize("more", [[], ["--unknown-references"]])
def test_dependents_gain(tool, footage, capsys, more):
    assert tool.main([str(footage), "--seeds", "3", "4", "--gop", "12", *more]) == 0
    found = rows(capsys.readouterr().out)
    assert list(found) == ["texture", "all"] and found["texture"] == found["all"]
    dependents, decoded, corrected, gain = (float(cell) for cell in found["all"])
    assert dependents > 0 and gain > 5 and corrected - decoded == pytest.approx(gain, abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [(["absent"], 3, "no such folder"), ([".", "--branch", "1"], 2, "unknown model")],
)
def test_errors_are_one_line_and_an_exit_code(tool, footage, arguments, code, message, capsys, monkeypatch):
    monkeypatch.chdir(footage)
    assert tool.main(arguments) == code
    assert message in capsys.readouterr().err
