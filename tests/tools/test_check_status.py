"""The check of told statuses: known truth on streams made here, its table, its exit codes."""

import importlib.util
import json
from pathlib import Path

import pytest

from b2scvr.bitstream.encode import encode_h264
from b2scvr.engine.status_check import rates
from b2scvr.types import AccessUnitStatus

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("check_status_tool", ROOT / "tools" / "check_status.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def footage(tmp_path, pictures):
    (tmp_path / "texture.h264").write_bytes(encode_h264(pictures[:14], crf=10))
    return tmp_path


def test_every_kind_of_damage_is_counted(tool, footage, capsys):
    assert tool.main([str(footage), "--damages", "5", "--pictures", "14", "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)
    assert {kind for kind, *_ in counts} == {"cut", "cut at the end", "bit flips", "header destroyed", "unit removed"}
    assert sum(number for *_, number in counts) == 4 * 14 + 13
    assert any(true == "LOST" for _, true, *_ in counts)


def test_it_prints_a_table(tool, footage, capsys):
    assert tool.main([str(footage), "--damages", "2", "--pictures", "14"]) == 0
    shown = capsys.readouterr().out
    assert "| cut |" in shown and shown.startswith("2 damaged streams, 28 access units")


def test_rates_by_hand():
    count = {("cut", "BROKEN", "BROKEN"): 3, ("cut", "BROKEN", "INTACT"): 1, ("cut", "INTACT", "BROKEN"): 1}
    assert rates(count, AccessUnitStatus.BROKEN) == (0.75, 0.75, 4)
    assert rates(count, AccessUnitStatus.BROKEN, "bit flips")[2] == 0


def test_wrong_arguments_and_footage(tool, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        tool.main([str(tmp_path), "--damages", "0"])
    assert stop.value.code == 2
    assert tool.main([str(tmp_path / "nothing")]) == 3
    assert "no such folder" in capsys.readouterr().err
