"""Submissions: every given picture once, at its size; anything else is told and nothing is written."""

import importlib.util
import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from b2scvr.write.png import write_pictures

ROOT = Path(__file__).resolve().parents[2]
STATED = ["--device", "gpu", "--extra-data", "no"]


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("submission_tool", ROOT / "tools" / "make_submission.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def some_pictures(count, width=32, height=24):
    return np.random.default_rng(count).integers(0, 256, (count, height, width, 3), np.uint8)


@pytest.fixture
def given(tmp_path):
    """Two clips in BSCV's layout, of two sizes; the pictures of the second are numbered in steps of five."""
    for clip, count, step, width in (("bear", 3, 1, 32), ("swan", 2, 5, 48)):
        folder = tmp_path / "test/144096/BSC_JPEGImages" / clip
        folder.mkdir(parents=True)
        for number, picture in enumerate(some_pictures(count, width)):
            cv2.imwrite(str(folder / f"{number * step:05d}.jpg"), picture)
    return tmp_path / "test/144096"


@pytest.fixture
def results(tmp_path):
    """As test.py writes them: one by the stream's name."""
    root = tmp_path / "results"
    for clip, count, width, speed in (("bear", 3, 32, 6.0), ("swan_2", 2, 48, 1.0)):
        write_pictures(root / clip / "frames", some_pictures(count, width))
        (root / clip / "metrics.json").write_text(json.dumps({"frames": count, "frames_per_second": speed}))
    return root


def test_a_submission_holds_every_picture_under_its_given_name(tool, given, results, tmp_path, capsys):
    target = tmp_path / "out" / "submission.zip"
    assert tool.main([str(given), str(results), str(target), *STATED, "--description", "two\nlines"]) == 0
    assert "2 clips, 5 pictures" in capsys.readouterr().out
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [
            "bear/00000.png", "bear/00001.png", "bear/00002.png", "swan/00000.png", "swan/00005.png", "readme.txt",
        ]  # fmt: skip
        assert archive.read("swan/00005.png") == (results / "swan_2/frames/00001.png").read_bytes()
        assert archive.read("readme.txt").decode().splitlines() == [
            "runtime per frame [s] : 0.5000",  # (3 / 6 + 2 / 1) seconds for 5 frames
            "CPU[1] / GPU[0] : 0",
            "Extra Data [1] / No Extra Data [0] : 0",
            "Other description : two lines",
        ]
    first = target.read_bytes()
    assert tool.main([str(given), str(results), str(target), *STATED]) == 2, "it exists"
    arguments = ["--device", "cpu", "--extra-data", "yes", "--runtime", "0.25", "--overwrite"]
    assert tool.main([str(given), str(results), str(target), *arguments]) == 0 and target.read_bytes() != first
    with zipfile.ZipFile(target) as archive:
        assert archive.read("readme.txt").startswith(b"runtime per frame [s] : 0.2500\nCPU[1] / GPU[0] : 1\n")
    assert list(target.parent.iterdir()) == [target]


def test_plain_folders_and_streams_are_test_sets_too(tool, given, results, tmp_path, pictures, clean_stream):
    target = tmp_path / "submission.zip"
    assert tool.main([str(given / "BSC_JPEGImages"), str(results), str(target), *STATED]) == 0
    streams = tmp_path / "streams"
    streams.mkdir()
    (streams / "texture_2.h264").write_bytes(clean_stream)
    write_pictures(tmp_path / "own/texture_2", pictures)
    target = tmp_path / "streams.zip"
    assert tool.main([str(streams), str(tmp_path / "own"), str(target), *STATED, "--runtime", "1"]) == 0
    with zipfile.ZipFile(target) as archive:
        assert archive.namelist()[-2:] == [f"texture_2/{len(pictures) - 1:05d}.png", "readme.txt"]


def absent(results):
    for path in sorted((results / "bear").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (results / "bear").rmdir()


def too_few(results):
    (results / "bear/frames/00001.png").unlink()


def misnamed(results):
    (results / "bear/frames/00001.png").rename(results / "bear/frames/00007.png")


def too_small(results):
    write_pictures(results / "bear/frames", some_pictures(3, 16, 12))


def cut_short(results):
    path = results / "bear/frames/00002.png"
    path.write_bytes(path.read_bytes()[:-20])


def empty(results):
    (results / "bear/frames/00002.png").write_bytes(b"")


def grey(results):
    cv2.imwrite(str(results / "bear/frames/00000.png"), np.zeros((24, 32), np.uint8))


def too_many_clips(results):
    (results / "cow").mkdir()


def no_runtime(results):
    (results / "swan_2/metrics.json").write_text("{}")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (absent, "bear: has no results"),
        (too_few, "bear: 3 pictures are given"),
        (misnamed, "frames has no 00001.png"),
        (too_small, "00002.png: is 16x12, the given pictures are 32x24"),
        (cut_short, "00002.png: is no whole PNG file"),
        (empty, "00002.png: is no whole PNG file"),
        (grey, "00000.png: is not RGB"),
        (too_many_clips, "cow: results of a clip that is not in the test set"),
        (no_runtime, "state it by --runtime"),
    ],
)
def test_what_does_not_fit_is_told_and_nothing_is_written(tool, given, results, tmp_path, capsys, spoil, message):
    spoil(results)
    assert tool.main([str(given), str(results), str(tmp_path / "out" / "s.zip"), *STATED]) == 3
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_full_disk_leaves_nothing(tool, given, results, tmp_path, monkeypatch, capsys):
    def full(self, info, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    assert tool.main([str(given), str(results), str(tmp_path / "out" / "s.zip"), *STATED]) == 3
    assert "No space left" in capsys.readouterr().err and list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("places", "options", "code", "message"),
    [
        (("absent", "results", "s.zip"), [], 3, "holds neither folders of pictures"),
        (("test/144096", "absent", "s.zip"), [], 3, "no such folder of results"),
        (("test/144096", "results", "s.tar"), [], 2, "a submission is a .zip"),
        (("test/144096", "results", "s.zip"), ["--runtime", "0"], 2, "more than 0"),
    ],
)
def test_wrong_use(tool, given, results, tmp_path, capsys, places, options, code, message):
    assert tool.main([*(str(tmp_path / place) for place in places), *STATED, *options]) == code
    assert message in capsys.readouterr().err
