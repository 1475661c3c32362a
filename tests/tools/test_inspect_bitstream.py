"""The inspecting tool: what it prints, what it writes, exit codes."""

import importlib.util
import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

_TOOL = Path(__file__).resolve().parents[2] / "tools" / "inspect_bitstream.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("inspect_bitstream_tool", _TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def damaged(tmp_path, damaged_stream):
    path = tmp_path / "clip.h264"
    path.write_bytes(damaged_stream)
    return path


def hevc(path, pictures):
    options = {"x265-params": "log-level=none:pools=none"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx265", rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = *pictures.shape[1:3], "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def test_figures_alone_write_nothing(tool, damaged, tmp_path, capsys):
    assert tool.main([str(damaged), "--units"]) == 0
    said = capsys.readouterr().out
    for words in ("h264, 128x96", "24 pictures", "High profile", "CABAC", "1 a picture", "broken", "debug=er"):
        assert words in said
    rows = [line.split() for line in said.splitlines() if line.strip()[:1].isdigit()]
    assert [int(row[0]) for row in rows] == list(range(24))
    assert [p.name for p in tmp_path.iterdir()] == ["clip.h264"]


def test_a_damaged_stream_is_drawn(tool, damaged, tmp_path, capsys):
    out = tmp_path / "look"
    assert tool.main([str(damaged), "--output", str(out), "--json", "--units"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert sum(told["statuses"].values()) == told["pictures"] == len(told["access_units"]) == 24
    assert len(told["broken"]) == told["statuses"]["broken"] > 0
    assert [u["display_index"] for u in told["access_units"] if u["status"] == "broken"] == told["broken"]
    written = sorted(p.name for p in (out / "clip").iterdir())
    assert written == told["files"] and "timeline.png" in written and told["not_drawn"] == {}
    worst = f"picture_{told['broken'][0]:05d}"
    layers = {name.removeprefix(worst + "_") for name in written if name.startswith(worst)}
    assert layers == {f"{layer}.png" for layer in tool.LAYERS}
    assert all(cv2.imread(str(out / "clip" / name)) is not None for name in written)


def test_pictures_layers_and_video_are_chosen(tool, damaged, tmp_path):
    out = tmp_path / "look"
    arguments = [str(damaged), "--output", str(out), "--pictures", "0,3-4", "--layers", "qp", "--video"]
    assert tool.main(arguments) == 0
    names = {"picture_00000_qp.png", "picture_00003_qp.png", "picture_00004_qp.png", "qp.mp4", "timeline.png"}
    assert {p.name for p in (out / "clip").iterdir()} == names
    with av.open(str(out / "clip" / "qp.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == 24
    assert tool.main(arguments) == 2  # it is there already
    assert tool.main([*arguments, "--pictures", "damaged", "--overwrite"]) == 0
    assert "picture_00000_qp.png" not in {p.name for p in (out / "clip").iterdir()}


def test_an_undamaged_stream_of_one_picture(tool, tmp_path, pictures, capsys):
    from b2scvr.bitstream.encode import encode_h264

    (tmp_path / "one.h264").write_bytes(encode_h264(pictures[:1]))
    assert tool.main([str(tmp_path / "one.h264"), "--output", str(tmp_path / "look")]) == 0
    said = capsys.readouterr().out
    assert "1 picture," in said and "1 intact" in said and "not drawn: vectors: every picture is intra" in said
    names = {p.name for p in (tmp_path / "look" / "one").iterdir()}
    assert "picture_00000_modes.png" in names and "picture_00000_vectors.png" not in names


def test_hevc_without_vectors_says_what_is_missing(tool, tmp_path, pictures, capsys):
    if "libx265" not in av.codecs_available:
        pytest.skip("this FFmpeg has no HEVC encoder")
    hevc(tmp_path / "clip.mp4", pictures[:6])
    out = tmp_path / "look"
    assert tool.main([str(tmp_path / "clip.mp4"), "--output", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["codec"] == "hevc" and "hevc" in told["absent"]["vectors"] and "vectors" in told["not_drawn"]
    assert "timeline.png" in told["files"] and not [name for name in told["files"] if "vectors" in name]
    assert tool.main([str(tmp_path / "clip.mp4"), "--units"]) == 0
    assert "missing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "required"),
        (["clip.h264", "--video"], 2, "--video needs --output"),
        (["clip.h264", "--output", "look", "--pictures", "some"], 2, "like 12,40-52"),
        (["clip.h264", "--output", "look", "--pictures", "5-3"], 2, "comes first"),
        (["clip.h264", "--output", "look", "--pictures", "20-24"], 2, "picture 24 was asked for, the last one is 23"),
        (["clip.h264", "--output", "look", "--layers", "colour"], 2, "invalid choice"),
        (["missing.h264"], 3, "no such file"),
        (["broken.h264", "--output", "look"], 3, "broken.h264"),
    ],
)
def test_one_line_an_exit_code_and_nothing_half_written(tool, damaged, monkeypatch, capsys, arguments, code, said):
    monkeypatch.chdir(damaged.parent)
    Path("broken.h264").write_bytes(np.random.default_rng(0).bytes(400))
    assert tool.main(arguments) == code
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and said in error
    assert sorted(p.name for p in damaged.parent.iterdir()) == ["broken.h264", "clip.h264"]
