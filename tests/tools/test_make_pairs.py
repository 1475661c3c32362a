"""The tool that makes training samples."""

import importlib.util
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
    assert tool.main(arguments) == 0
    assert f"{len(read_index(tmp_path / 'cache'))} samples" in capsys.readouterr().out
    assert tool.main([*arguments, "--seed", "1"]) == 3
    assert "choose another folder" in capsys.readouterr().err


def test_missing_footage_is_exit_code_3(tool, tmp_path, capsys):
    assert tool.main([str(tmp_path / "absent"), str(tmp_path / "cache")]) == 3
    assert "no such folder of footage" in capsys.readouterr().err


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
