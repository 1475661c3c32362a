"""The benchmark: what it prints, and its exit codes. No figure is checked: the machine decides."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("benchmark_tool", ROOT / "tools" / "benchmark.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_parsing_is_timed_beside_plain_decoding(tool, tmp_path, damaged_stream, capsys):
    path = tmp_path / "clip.h264"
    path.write_bytes(damaged_stream)
    assert tool.main(["parse", str(path), "--repeat", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["frames"] == 24 and all(rate > 0 for rate in found.values())
    assert {"plain decoding (PyAV), frames/s", "parsing with all maps, frames/s"} <= set(found)


def test_a_file_that_is_no_video(tool, tmp_path, capsys):
    path = tmp_path / "notes.h264"
    path.write_text("not a video")
    assert tool.main(["parse", str(path)]) == 3
    assert "notes.h264" in capsys.readouterr().err


def test_detection_is_timed_beside_the_published_schedule(tool, capsys):
    config = str(ROOT / "configs" / "dac" / "ablation" / "all.py")
    arguments = ["detect", "--config", config, "--size", "64x48", "--device", "cpu", "--published", "2", "--frames"]
    assert tool.main([*arguments, "8", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["schedule"], row["looked_at"]) for row in rows] == [("published", 2), ("ours", 1), ("splice", 1)]
    assert tool.main([*arguments, "8"]) == 0
    assert "times as fast" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        tool.main([*arguments, "1"])
