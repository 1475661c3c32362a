"""The tool that builds data sets in BSCV's layout: as a user runs it, killed in the middle, and with nonsense."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "build_bscv.py"
OPTIONS = ["--branches", "144096", "184096", "--workers", "2", "--gop", "5", "--crf", "12", "--seed", "3"]


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("build_bscv", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def footage(tmp_path_factory, pictures):
    folder = tmp_path_factory.mktemp("youtube-vos")
    noise = np.random.default_rng(1).integers(-40, 40, pictures.shape)
    noisy = np.clip(pictures + noise, 0, 255).astype(np.uint8)
    for number in range(4):
        (folder / f"clip{number}").mkdir()
        for index in range(10):
            picture = cv2.cvtColor(noisy[index + number], cv2.COLOR_RGB2BGR)
            assert cv2.imwrite(str(folder / f"clip{number}" / f"{index:05d}.jpg"), picture)
    return folder


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, footage):
    """What one run without trouble gives."""
    root = tmp_path_factory.mktemp("unbroken") / "bscv"
    done = _run(footage, root, *OPTIONS)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{root}: 4 clips built, 0 there before, ") and done.stdout.endswith(" clips/s\n")
    return root


def test_a_run_killed_in_the_middle_goes_on_to_the_same_files(tmp_path, footage, unbroken):
    root = tmp_path / "bscv"
    started = subprocess.Popen([sys.executable, str(TOOL), str(footage), str(root), *OPTIONS], stderr=subprocess.PIPE)
    try:
        _wait_for(lambda: list(root.glob("records/clip*.json")) and _under_way(root))
        workers = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
        os.kill(started.pid, signal.SIGKILL)
    finally:
        started.kill()
        started.communicate()
    _wait_for(lambda: not any(map(_runs, workers)))
    whole = {path.stem for path in root.glob("records/*.json")}
    assert 0 < len(whole) < 4
    assert not (root / "manifest.json").exists()
    expected = _content(unbroken)
    for path, content in _content(root).items():
        if not path.startswith(".work"):
            assert content == expected[path], f"{path} is half-written"
    again = _run(footage, root, *OPTIONS)
    assert again.returncode == 0, again.stderr
    assert f"{4 - len(whole)} clips built, {len(whole)} there before" in again.stdout
    assert _content(root) == expected


def test_shards_of_two_machines_are_gathered(tmp_path, tool, footage, unbroken, capsys):
    for number in (1, 2):
        assert tool.main([str(footage), str(tmp_path), *OPTIONS, "--shard", f"{number}/2"]) == 0
    (tmp_path / "manifest.json").unlink()
    assert tool.main([str(tmp_path), "--gather"]) == 0
    assert "4 clips in 144096, 184096" in capsys.readouterr().out
    assert _content(tmp_path) == _content(unbroken)


def test_verify_says_what_differs(tool, unbroken, capsys):
    assert tool.main([str(unbroken), "--verify", "--workers", "2"]) == 0
    assert "as recorded" in capsys.readouterr().out
    mask = unbroken / "144096" / "masks" / "clip1" / "00002.png"
    content = mask.read_bytes()
    mask.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    assert tool.main([str(unbroken), "--verify", "hash", "--workers", "1"]) == 1
    assert "144096/masks/clip1/00002.png differs from its checksum\n" in capsys.readouterr().out
    mask.unlink()
    assert tool.main([str(unbroken), "--verify", "--workers", "1"]) == 1
    assert "144096/masks/clip1/00002.png is missing\n" in capsys.readouterr().out
    mask.write_bytes(content)


def test_a_clip_that_cannot_be_read_is_exit_code_3(tool, tmp_path, footage, capsys):
    (tmp_path / "footage" / "good").mkdir(parents=True)
    for path in (footage / "clip0").iterdir():
        (tmp_path / "footage" / "good" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "footage" / "bad.mp4").write_text("no video")
    assert tool.main([str(tmp_path / "footage"), str(tmp_path / "out"), "--workers", "1", "--zips"]) == 3
    said = capsys.readouterr()
    assert "1 clips built, 0 there before, 1 failed" in said.out
    assert said.err.startswith("build_bscv: bad: ") and said.err.count("\n") == 1
    assert json.loads((tmp_path / "out" / "144096" / "train.json").read_text()) == {"good": 10}


def test_unusable_folders_are_exit_code_3(tool, tmp_path, footage, unbroken, capsys):
    assert tool.main([str(tmp_path / "absent"), str(tmp_path / "out")]) == 3
    assert tool.main([str(tmp_path), "--verify"]) == 3
    assert tool.main([str(footage), str(unbroken), "--crf", "30"]) == 3
    (tmp_path / "file").touch()
    assert tool.main([str(footage), str(tmp_path / "file" / "out")]) == 3
    said = capsys.readouterr().err
    for part in ("no such folder", "not a data set", "choose another folder", "cannot be written"):
        assert part in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["F"], "give FOOTAGE and OUTPUT"),
        (["F", "O", "--verify"], "OUTPUT alone"),
        (["O", "--verify", "--gather"], "one of both"),
        (["F", "O", "--branches", "144097"], "144096"),
        (["F", "O", "--shard", "3/2"], "must lie between"),
        (["F", "O", "--shard", "two"], "no shard like 2/4"),
        (["F", "O", "--size", "big"], "no size like"),
        (["F", "O", "--gop", "0"], "gop 0"),
        (["F", "F/out"], "lies in"),
        (["F", "O", "--workers", "0"], "must be positive"),
    ],
)
def test_wrong_use_is_exit_code_2(tool, arguments, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        tool.main(arguments)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def _run(*arguments):
    command = [sys.executable, str(TOOL), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _content(root):
    return {
        str(path.relative_to(root)): path.readlink() if path.is_symlink() else path.read_bytes()
        for path in Path(root).rglob("*")
        if path.is_file() or path.is_symlink()
    }


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _under_way(root):
    try:
        return any(root.glob(".work/*/*/*/*"))
    except FileNotFoundError:  # moved away while looking
        return False


def _wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.002)
    raise AssertionError("it did not happen in time")
