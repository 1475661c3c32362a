"""The tool that makes training samples."""

import importlib.util
import json
from pathlib import Path

import pytest

from b2scvr.bitstream.damage import CutModel, damage
from b2scvr.bitstream.encode import encode_h264
from b2scvr.data.cache import read_index

TOOL = Path(__file__).resolve().parents[2] / "tools" / "make_pairs.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("make_pairs", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_makes_a_cache(tool, tmp_path, pictures, capsys):
    (tmp_path / "footage").mkdir()
    (tmp_path / "footage" / "clip.h264").write_bytes(encode_h264(pictures[:18], crf=12))
    arguments = [str(tmp_path / "footage"), str(tmp_path / "cache"), "--rounds", "1", "--workers", "1"]
    arguments += ["--damage", "124096*2", "144096", "--moving-camera", "1", "--passes", "2"]
    assert tool.main(arguments) == 0
    assert f"{len(read_index(tmp_path / 'cache'))} samples" in capsys.readouterr().out
    drawn = json.loads((tmp_path / "cache" / "jobs" / "clip_r000.json").read_text())["variant"]
    assert drawn["damage"] in ("124096", "144096") and len(drawn["camera"]["controls"]) >= 4
    settings = json.loads((tmp_path / "cache" / "settings.json").read_text())
    assert (settings["damage"], settings["passes"]) == ({"124096": 2.0, "144096": 1.0}, 2)
    assert tool.main([*arguments, "--seed", "1"]) == 3
    assert "choose another folder" in capsys.readouterr().err


def test_missing_footage_is_exit_code_3(tool, tmp_path, capsys):
    assert tool.main([str(tmp_path / "absent"), str(tmp_path / "cache")]) == 3
    assert "no such folder of footage" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--damage", "rpt"], "'rpt' is no kind (did you mean 'rtp'?)"),
        (["--damage", "rtp*much"], "'much' is no number"),
        (["--encoder", "slices"], "is KEY=VALUE, like slices=4, got 'slices'"),
        (["--rounds", "0"], "--rounds must be at least 1, got 0"),
    ],
)
def test_nonsense_is_exit_code_2_before_anything_is_made(tool, tmp_path, capsys, option, message):
    with pytest.raises(SystemExit) as stopped:
        tool.main([str(tmp_path), str(tmp_path / "cache"), *option])
    assert stopped.value.code == 2 and message in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()


def test_it_makes_a_cache_of_branches(tool, tmp_path, pictures, capsys):
    for name, content in (("GT_h264/a.h264", 0), ("BSC_h264/a_2.h264", 1)):
        path = tmp_path / "144096" / name
        path.parent.mkdir(parents=True)
        clean = encode_h264(pictures[:18], gop=9)
        path.write_bytes([clean, damage(clean, CutModel(gop=9, length=100, seed=1))[0]][content])
    arguments = [str(tmp_path / "cache"), "--workers", "1", "--bscv", str(tmp_path / "144096")]
    assert tool.main(arguments) == 0
    assert {(entry.clip, entry.round) for entry in read_index(tmp_path / "cache")} == {("a", 0)}
    capsys.readouterr()
    (tmp_path / "144096" / "BSC_h264" / "b_2.h264").touch()
    assert tool.main(arguments) == 3
    assert capsys.readouterr().err.startswith("make_pairs: b: training needs GT_h264/b.h264")


def test_footage_or_branches(tool, tmp_path, capsys):
    for arguments in ([str(tmp_path)], [str(tmp_path), str(tmp_path / "cache"), "--bscv", str(tmp_path)]):
        with pytest.raises(SystemExit) as stopped:
            tool.main(arguments)
        assert stopped.value.code == 2
    assert "one of both" in capsys.readouterr().err
