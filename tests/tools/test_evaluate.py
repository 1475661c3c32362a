"""The evaluation tool: its table, its files, its exit codes."""

import importlib.util
import json
from pathlib import Path

import pytest

from b2scvr.bitstream.encode import encode_h264

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("evaluate_tool", ROOT / "tools" / "evaluate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def footage(tmp_path, pictures):
    folder = tmp_path / "footage"
    folder.mkdir()
    (folder / "texture.h264").write_bytes(encode_h264(pictures[:14], crf=5))
    return folder


def test_it_prints_and_writes_the_table(tool, footage, tmp_path, capsys):
    config = str(ROOT / "configs" / "vector_fill.py")
    output = tmp_path / "out" / "table.md"
    assert tool.main([str(footage), "--configs", config, "--seeds", "0", "--gop", "12", "--output", str(output)]) == 0
    shown = capsys.readouterr().out
    assert "| vector_fill |" in shown and "| concealment |" in shown
    assert output.read_text().strip() == shown.strip()
    assert len(json.loads(output.with_suffix(".json").read_text())["results"]) == 2
    assert len(output.with_suffix(".csv").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["absent"], 3, "no such folder"),
        (["footage", "--configs", "absent.py"], 2, "config not found"),
        (["footage", "--configs", "configs/vector_fill.py", "--branch", "1"], 2, "unknown model"),
    ],
)
def test_errors_are_one_line_and_an_exit_code(tool, footage, arguments, code, message, capsys, monkeypatch):
    monkeypatch.chdir(footage.parent)
    assert tool.main([*arguments, "--seeds", "0"]) == code
    assert message in capsys.readouterr().err


def test_detection_alone(tool, footage, tmp_path, capsys):
    config = str(ROOT / "configs" / "vector_fill.py")
    output = tmp_path / "out" / "detect.md"
    arguments = ["--stage", "detect", "--seeds", "0", "--gop", "12", "--branch", "144096", "244096"]
    assert tool.main([str(footage), "--configs", config, *arguments, "--output", str(output)]) == 0
    shown = capsys.readouterr().out
    assert "| damage trace |" in shown and "| vector_fill |" in shown and "IoU by branch" in shown
    results = json.loads(output.with_suffix(".json").read_text())["results"]
    assert [(r["branch"], r["method"]) for r in results] == [
        (branch, method) for branch in ("144096", "244096") for method in ("damage trace", "vector_fill")
    ]
    assert all(0 <= r[name] <= 1 for r in results for name in ("iou", "precision", "recall", "boundary_f"))
    assert all(r["change_point_error"] >= 0 for r in results)
