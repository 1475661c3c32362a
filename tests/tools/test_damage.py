"""The damaging tool: outputs, manifest, exit codes."""

import hashlib
import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest

from b2scvr.bitstream.damage import branch, damage, seed_of_stage
from b2scvr.bitstream.encode import encode_h264

_TOOL = Path(__file__).resolve().parents[2] / "tools" / "damage.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("damage_tool", _TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def source(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "clip.h264"
    path.write_bytes(encode_h264(rng.integers(0, 255, (5, 64, 96, 3)).astype(np.uint8)))
    return path


def test_a_stream_is_damaged_and_described(tool, source, tmp_path, capsys):
    out = tmp_path / "damaged.h264"
    assert tool.main([str(source), str(out), "--branch", "144096", "--seed", "3"]) == 0
    clean = source.read_bytes()
    damaged, changes = damage(clean, branch("144096", seed=3))
    assert out.read_bytes() == damaged != clean
    manifest = json.loads((tmp_path / "damaged.h264.json").read_text())
    (model,) = manifest["models"]
    assert model["parameters"]["seed"] == 3 and manifest["branch"] == "144096" and manifest["encoded"] is None
    assert manifest["clean"] == {"bytes": len(clean), "sha256": hashlib.sha256(clean).hexdigest()}
    assert model["changes"] == [change.as_dict() for change in changes]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.h264", "damaged.h264", "damaged.h264.json"]
    assert str(tmp_path) not in (tmp_path / "damaged.h264.json").read_text()
    assert ": 1 change, " in capsys.readouterr().out


def test_the_manifest_goes_where_it_is_asked_to(tool, source, tmp_path):
    out, manifest = tmp_path / "damaged.h264", tmp_path / "cuts.json"
    arguments = [str(source), str(out), "--length", "100", "--manifest"]
    assert tool.main([*arguments, str(manifest)]) == 0
    assert len(json.loads(manifest.read_text())["models"][0]["changes"]) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.h264", "cuts.json", "damaged.h264"]
    assert tool.main([*arguments, str(source), "--overwrite"]) == 2  # never over the input
    assert tool.main([*arguments, str(out), "--overwrite"]) == 2  # nor over the damaged stream


def test_another_video_is_encoded_first(tool, source, tmp_path):
    video = tmp_path / "clip.ts"  # any suffix that is not an elementary stream's
    source.rename(video)
    out, clean = tmp_path / "damaged.h264", tmp_path / "clean.h264"
    arguments = [str(video), str(out), "--clean", str(clean), "--size", "64x48", "--gop", "2", "--length", "100"]
    assert tool.main(arguments) == 0
    manifest = json.loads((tmp_path / "damaged.h264.json").read_text())
    assert manifest["encoded"] == {"crf": 23, "gop": 2, "size": [64, 48]} and len(manifest["models"][0]["changes"]) >= 3
    lengths = [change["length"] for change in manifest["models"][0]["changes"]]
    assert len(clean.read_bytes()) - len(out.read_bytes()) == sum(lengths)
    assert tool.main(arguments) == 2
    assert tool.main([*arguments, "--overwrite"]) == 0


def test_several_models_repeated_and_replayed(tool, source, tmp_path):
    first, again, third = (tmp_path / name for name in ("first.h264", "again.h264", "third.h264"))
    specs = ["ge:p=1e-3,r=0.1", "bscv:S=30", "sectors:rate=0.5,size=512,fill=random,seed=8"]
    models = [argument for spec in specs for argument in ("--model", spec)]
    assert tool.main([str(source), str(first), *models, "--seed", "5", "--gop", "2"]) == 0
    manifest = json.loads((tmp_path / "first.h264.json").read_text())
    names = [(entry["model"], entry["parameters"]["seed"]) for entry in manifest["models"]]
    assert names == [("bits", 5), ("bscv", seed_of_stage(5, 1)), ("sectors", 8)]
    assert manifest["models"][1]["parameters"]["gop"] == 2
    assert tool.main([str(source), str(again), "--spec", str(tmp_path / "first.h264.json")]) == 0
    assert tool.main([str(source), str(third), "--replay", str(tmp_path / "first.h264.json")]) == 0
    assert first.read_bytes() == again.read_bytes() == third.read_bytes() != source.read_bytes()
    source.write_bytes(source.read_bytes() + b"\0")
    assert tool.main([str(source), str(third), "--replay", str(tmp_path / "first.h264.json"), "--overwrite"]) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "required"),
        (["--branch", "1"], 2, "known are"),
        (["--branch", "144096", "--length", "5"], 2, "leave out"),
        (["--branch", "144096", "--model", "ts"], 2, "leave out --model"),
        (["--replay", "nothing.mp4", "--seed", "1"], 2, "nothing.mp4"),
        (["--model", "ts:speed=1"], 2, "unknown parameter 'speed'"),
        (["--spec", "missing.json"], 2, "cannot be read"),
        (["--position", "2"], 2, r"\[0, 1\]"),
        (["--size", "big"], 2, "854x480"),
        (["missing.h264"], 3, "no such file"),
        (["nothing.h264"], 3, "no H.264 slice"),
        (["nothing.mp4"], 3, "nothing.mp4"),
    ],
)
def test_one_line_and_an_exit_code(tool, source, tmp_path, capsys, arguments, code, message):
    for name in ("nothing.h264", "nothing.mp4"):
        (tmp_path / name).write_bytes(b"nothing")
    out = tmp_path / "out.h264"
    named = arguments and not arguments[0].startswith("--")
    full = (
        [str(tmp_path / arguments[0]), str(out)] if named else [str(source), str(out), *arguments] if arguments else []
    )
    assert tool.main(full) == code
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and re.search(message, error)
    assert not out.exists()


def test_an_input_is_never_replaced(tool, source, capsys):
    before = source.read_bytes()
    assert tool.main([str(source), str(source), "--overwrite"]) == 2
    assert tool.main([str(source), str(source.with_name("folder")) + "/missing/out.h264"]) == 3
    assert source.read_bytes() == before
