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


def test_it_prints_and_writes_the_tables(tool, footage, tmp_path, capsys):
    config = str(ROOT / "configs" / "vector_fill.py")
    output = tmp_path / "out" / "table.md"
    branches = ["144096", "rtp:rate=0.2,mtu=300,protect=sets+idr"]
    arguments = [
        "--configs",
        config,
        "--seeds",
        "0",
        "--gop",
        "12",
        "--metrics",
        "ssim",
        "--peers",
        "telea",
        "--branch",
    ]
    assert tool.main([str(footage), *arguments, *branches, "--output", str(output)]) == 0
    shown = capsys.readouterr().out
    methods = ["concealment", "vector_fill", "telea, masks of vector_fill", "telea, true masks"]
    assert all(f"| {method} |" in shown for method in methods) and "vector_fill is ahead by" in shown
    assert shown.index("; ".join(branches)) < shown.index(f"branch {branches[1]},"), "all damage together comes first"
    assert output.read_text().strip() == shown.strip()
    record = json.loads(output.with_suffix(".json").read_text())
    assert [(r["branch"], r["method"]) for r in record["results"]] == [(b, m) for b in branches for m in methods]
    assert all(0 < row["ssim_all"]["mean"] < 1 for row in record["summary"].values())
    assert len(output.with_suffix(".csv").read_text().splitlines()) == 1 + 2 * len(methods)
    assert sorted(path.name for path in output.parent.iterdir()) == [f"table.{s}" for s in ("csv", "json", "md", "png")]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["absent"], 3, "no such folder"),
        (["footage", "--configs", "absent.py"], 2, "config not found"),
        (["footage", "--configs", "configs/vector_fill.py", "--branch", "1"], 2, "unknown model"),
        (["footage", "--branch", "144096", "rtp:rat=0.1"], 2, "unknown parameter 'rat'"),
        (["footage", "--features", "r3d"], 2, "MODULE:FACTORY"),
        (
            ["footage", "--configs", "configs/vector_fill.py", "--encoder", "slices"],
            2,
            "KEY=VALUE, like slices=4, got 'slices'",
        ),
        (["footage", "--configs", str(ROOT / "configs" / "vector_fill.py"), "--encoder", "slces=4"], 2, "slces"),
    ],
)
def test_errors_are_one_line_and_an_exit_code(tool, footage, arguments, code, message, capsys, monkeypatch):
    monkeypatch.chdir(footage.parent)
    assert tool.main([*arguments, "--seeds", "0"]) == code
    assert message in capsys.readouterr().err


def test_detection_alone(tool, footage, tmp_path, capsys):
    config = str(ROOT / "configs" / "vector_fill.py")
    output = tmp_path / "out" / "slices=2,rate=0.5.md"
    arguments = ["--stage", "detect", "--seeds", "0", "--gop", "12", "--branch", "144096", "244096"]
    arguments += ["--encoder", "slices=2", "x264-params=tff=1"]
    assert tool.main([str(footage), "--configs", config, *arguments, "--output", str(output.with_suffix(""))]) == 0
    shown = capsys.readouterr().out
    assert "CRF 23, GOP 12, slices=2, x264-params=tff=1." in shown
    assert "| damage trace |" in shown and "| vector_fill |" in shown and "IoU by branch" in shown
    results = json.loads(output.with_suffix(".json").read_text())["results"]
    assert [(r["branch"], r["method"]) for r in results] == [
        (branch, method) for branch in ("144096", "244096") for method in ("damage trace", "vector_fill")
    ]
    assert all(0 <= r[name] <= 1 for r in results for name in ("iou", "precision", "recall", "boundary_f"))
    assert all(r["change_point_error"] >= 0 for r in results)
    assert all(0 <= r["change_point_coverage"] <= 1 and r["change_point_interval"] >= 0 for r in results)
