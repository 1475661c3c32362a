"""`python test.py` as a user calls it: the contract of its options, its output folders and its exit codes."""

import importlib.util
import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from b2scvr.bitstream import cache, reader
from b2scvr.bitstream.damage import CutModel, damage
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.nal import scan
from b2scvr.bitstream.specimens import ALL, make
from b2scvr.checkpoints.load import save_weights
from b2scvr.config import load_config
from b2scvr.engine.run_record import sha256
from b2scvr.registry import MODELS
from b2scvr.types import AccessUnitStatus
from b2scvr.write import read_masks, read_pictures, write_masks, write_pictures

ROOT = Path(__file__).resolve().parents[2]
FILES = {"frames", "masks", "repaired.h264", "recovered.mp4", "report.html", "metrics.json", "run.json"}
VECTOR_FILL = ["--config", str(ROOT / "configs" / "vector_fill.py")]
BAD = ["missing.h264", "empty.h264", "text.h264", "text.mp4", "cut.h264", "bare.h264", "sound.mp4"]
METRICS = {
    "frames", "lost_access_units", "broken_access_units", "damaged_frames_detected", "seconds", "frames_per_second",
    "peak_memory_bytes",
}  # fmt: skip


def script(path):
    spec = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def command():
    return script(ROOT / "test.py").main


@pytest.fixture
def streams(tmp_path, clean_stream, damaged_stream):
    (tmp_path / "clean.h264").write_bytes(clean_stream)
    (tmp_path / "damaged.h264").write_bytes(damaged_stream)
    return tmp_path


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def add_silence(output, stream):
    frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
    frame.rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
    output.mux(stream.encode(frame))
    output.mux(stream.encode(None))


def as_movie(data, path):
    """A container with pictures and a sound track."""
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=25, options={"threads": "1", "slices": "1", "g": "12"})
        video.height, video.width, video.pix_fmt = *data.shape[1:3], "yuv420p"
        sound = output.add_stream("aac", rate=48000)
        for picture in data:
            output.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(video.encode(None))
        add_silence(output, sound)


def test_a_damaged_stream_is_repaired(streams, command, capsys):
    out = streams / "out"
    code = command(
        [str(streams / "damaged.h264"), "--gt", str(streams / "clean.h264"), "--output", str(out), *VECTOR_FILL]
    )
    assert code == 0 and capsys.readouterr().err == ""
    folder = out / "damaged"
    assert {p.name for p in folder.iterdir()} == FILES
    frames, masks, found = read_pictures(folder / "frames"), read_masks(folder / "masks"), metrics_of(folder)
    damaged, clean = reader.read(streams / "damaged.h264"), reader.read(streams / "clean.h264")
    assert frames.shape == damaged.frames.shape and masks.shape == frames.shape[:3]
    intact = damaged.status == AccessUnitStatus.INTACT
    assert intact.any() and not intact.all()
    assert np.array_equal(frames[intact], damaged.frames[intact]) and not masks[intact].any()
    assert found.keys() >= METRICS and found["mode"] == "splice" and found["frames"] == len(frames)
    assert found["broken_access_units"] == (damaged.status == AccessUnitStatus.BROKEN).sum()
    assert found["damaged_frames_detected"] == masks.any(axis=(1, 2)).sum() > 0
    assert found["psnr"]["damaged"]["recovered"] > found["psnr"]["damaged"]["decoded"] + 1
    assert found["psnr"].keys() == {"decoded", "recovered", "damaged"} and 0 < found["iou"] <= 1
    assert np.array_equal(frames[0], clean.frames[0])


def test_the_repaired_stream_plays_without_an_error_and_shows_the_frames(streams, command):
    assert command([str(streams / "damaged.h264"), "--output", str(streams / "out"), *VECTOR_FILL]) == 0
    folder = streams / "out" / "damaged"
    av.logging.set_level(av.logging.WARNING)
    with av.logging.Capture() as said, av.open(str(folder / "repaired.h264")) as container:
        container.streams.video[0].thread_type = "SLICE"
        container.streams.video[0].codec_context.thread_count = 1
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [message for level, _, message in said if level <= av.logging.ERROR] == []
    assert np.array_equal(np.stack(shown), read_pictures(folder / "frames"))


def test_an_undamaged_stream_comes_back_bit_for_bit(streams, command, clean_stream):
    assert command([str(streams / "clean.h264"), "--output", str(streams / "out"), *VECTOR_FILL]) == 0
    folder = streams / "out" / "clean"
    assert (folder / "repaired.h264").read_bytes() == clean_stream
    assert np.array_equal(read_pictures(folder / "frames"), reader.read(streams / "clean.h264").frames)
    assert not read_masks(folder / "masks").any()
    assert metrics_of(folder)["mode"] == "untouched"


def test_a_container_comes_back_as_a_container(streams, command, pictures):
    source = streams / "movie.mp4"
    as_movie(pictures, source)
    assert command([str(source), "--output", str(streams / "out"), *VECTOR_FILL]) == 0
    assert (streams / "out" / "movie" / "repaired.mp4").read_bytes() == source.read_bytes()
    data = bytearray(source.read_bytes())
    victim = max(reader.read_coded(source).access_units[1:], key=len)
    half = len(victim) // 2
    at = data.find(victim[-half:])  # the second half of one access unit, as it lies in the container
    assert at > 0
    data[at : at + half] = bytes(i * 37 % 251 for i in range(half))
    source.write_bytes(data)
    assert command([str(source), "--output", str(streams / "out"), "--overwrite", *VECTOR_FILL]) == 0
    folder = streams / "out" / "movie"
    assert metrics_of(folder)["mode"] == "splice"
    with av.open(str(folder / "repaired.mp4")) as container:
        assert len(container.streams.audio) == 1
        shown = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    assert np.array_equal(shown, read_pictures(folder / "frames"))


def damaged_mpeg2(pictures):
    """A stream of another codec, bytes of its middle overwritten."""
    clean = make(ALL["mpeg2"], pictures[:12])
    middle = len(clean) // 2
    return clean[:middle] + bytes(200) + clean[middle + 200 :]


def test_a_stream_of_another_codec_is_recovered_along_its_vectors_and_says_so(tmp_path, command, pictures, capsys):
    (tmp_path / "old.m2v").write_bytes(damaged_mpeg2(pictures))
    arguments = [str(tmp_path / "old.m2v"), "--output", str(tmp_path / "out"), *VECTOR_FILL]
    assert command(arguments) == 0
    found = metrics_of(tmp_path / "out" / "old")
    assert found["mode"] == "drift" and any("drift mode" in note for note in found["notes"])
    assert "note: recovered in drift mode" in capsys.readouterr().out
    assert not (tmp_path / "out" / "old" / "repaired.h264").exists()


def test_an_interlaced_stream_is_repaired(tmp_path, command, pictures):
    clean = encode_h264(pictures, gop=12, options={"x264-params": "interlaced=1:weightp=0", "bf": "0"})
    (tmp_path / "fields.h264").write_bytes(damage(clean, CutModel(gop=12, length=200, seed=3))[0])
    assert command([str(tmp_path / "fields.h264"), "--output", str(tmp_path / "out"), *VECTOR_FILL]) == 0
    assert metrics_of(tmp_path / "out" / "fields")["mode"] == "splice"
    repaired = reader.read(tmp_path / "out" / "fields" / "repaired.h264")
    assert len(repaired) == len(pictures) and (repaired.status == AccessUnitStatus.INTACT).all()


def test_splicing_what_cannot_be_spliced_is_one_line(tmp_path, command, pictures, capsys):
    (tmp_path / "old.m2v").write_bytes(damaged_mpeg2(pictures))
    arguments = [str(tmp_path / "old.m2v"), "--mode", "splice", "--output", str(tmp_path / "out"), *VECTOR_FILL]
    assert command(arguments) == 3
    assert "--mode auto" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_networks_from_a_checkpoint_recover_at_another_size(streams, command):
    """Untrained networks: every part runs, and what is intact stays."""
    config = load_config(ROOT / "configs" / "b2scvr_tiny.py")
    torch.manual_seed(0)
    networks = {name: MODELS.build(config[name]) for name in ("dac", "cfc")}
    save_weights(streams / "w.safetensors", {name: network.state_dict() for name, network in networks.items()})
    arguments = [str(streams / "damaged.h264"), "--output", str(streams / "out"), "--size", "64x48"]
    assert command([*arguments, "--checkpoint", str(streams / "w.safetensors")]) == 0
    folder, clip = streams / "out" / "damaged", reader.read(streams / "damaged.h264")
    frames = read_pictures(folder / "frames")
    assert frames.shape == clip.frames.shape
    intact = clip.status == AccessUnitStatus.INTACT
    assert np.array_equal(frames[intact], clip.frames[intact])
    record = json.loads((folder / "run.json").read_text())
    assert record["sha256"]["weights"] == sha256(streams / "w.safetensors")
    assert record["config"]["dac"]["type"] == config["dac"]["type"]


def test_weights_of_another_network_are_wrong_use(streams, command, capsys):
    save_weights(streams / "w.safetensors", {"dac": {"x": torch.zeros(1)}, "cfc": {"x": torch.zeros(1)}})
    arguments = [str(streams / "damaged.h264"), "--checkpoint", str(streams / "w.safetensors")]
    assert command([*arguments, "--output", str(streams / "out")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1 and not (streams / "out").exists()


def without_slice_data(stream):
    """The stream with 12 bytes of each slice: headers arrive, pictures don't."""
    ends = [(unit, unit.payload + 12 if unit.is_slice else unit.end) for unit in scan(stream)]
    return b"".join(stream[unit.start : min(end, unit.end)] for unit, end in ends)


def poor_input(name, pictures):
    """A damaged input of which little is known."""
    if name == "other.h265":
        clean = make(ALL["hevc"], pictures[:8])
        return clean[: len(clean) // 2] + bytes(60) + clean[len(clean) // 2 + 60 :]
    if name == "lost.h264":
        return without_slice_data(encode_h264(pictures[:6], gop=6))
    length = 1 if name == "one.h264" else 6
    stream = encode_h264(pictures[:length], gop=1)
    return damage(stream, CutModel(gop=length, position=0.3, length=300, seed=3))[0]


@pytest.mark.parametrize(
    ("name", "option", "missing", "damaged"),
    [
        ("intra.h264", "--mode=auto", "no motion vectors", None),
        ("other.h265", "--stage=detect", "no motion vectors", None),
        ("one.h264", "--mode=auto", "no picture is intact", 1),
        ("lost.h264", "--stage=detect", "no picture is intact", 6),
        ("lost.h264", "--mode=frames", "no picture is intact", None),
    ],
)
def test_networks_work_where_evidence_is_missing_which_is_named(
    tmp_path, command, pictures, name, option, missing, damaged
):
    (tmp_path / name).write_bytes(poor_input(name, pictures))
    assert command([str(tmp_path / name), "--output", str(tmp_path / "out"), option]) == 0
    folder = tmp_path / "out" / Path(name).stem
    found = metrics_of(folder)
    assert any(missing in note for note in found["notes"]), found["notes"]
    assert missing in (folder / "report.html").read_text()
    assert damaged in (None, found["damaged_frames_detected"])


def test_stage_parse_and_detect_stop_there(streams, command):
    source, out = str(streams / "damaged.h264"), streams / "out"
    assert command([source, "--stage", "parse", "--output", str(out)]) == 0
    assert {p.name for p in (out / "damaged").iterdir()} == {"clip.npz", "metrics.json", "run.json"}
    clip = reader.read(source)
    assert np.array_equal(cache.load_clip(out / "damaged" / "clip.npz", clip.source_sha256).frames, clip.frames)
    assert command([source, "--stage", "detect", "--output", str(out), "--overwrite", *VECTOR_FILL]) == 0
    assert {p.name for p in (out / "damaged").iterdir()} == {"masks", "report.html", "metrics.json", "run.json"}
    assert read_masks(out / "damaged" / "masks").any()


def test_given_masks_bound_what_may_change(streams, command):
    clip = reader.read(streams / "damaged.h264")
    given = np.zeros(clip.frames.shape[:3], np.uint8)
    given[np.flatnonzero(clip.status)[0], 20:60, 30:90] = 1
    write_masks(streams / "given", given)
    source = str(streams / "damaged.h264")
    assert command([source, "--masks", str(streams / "given"), "--output", str(streams / "out"), *VECTOR_FILL]) == 0
    folder = streams / "out" / "damaged"
    changed = (read_pictures(folder / "frames") != clip.frames).any(axis=3)
    assert changed.any() and not changed[given == 0].any()
    assert np.array_equal(read_masks(folder / "masks"), given)
    assert metrics_of(folder)["mode"] == "frames" and not (folder / "repaired.h264").exists()


def test_json_is_one_object_per_input_and_the_truth_may_be_a_folder(streams, command, capsys):
    write_pictures(streams / "truth" / "damaged", reader.read(streams / "clean.h264").frames)
    (streams / "truth" / "clean.h264").write_bytes((streams / "clean.h264").read_bytes())
    inputs = [str(streams / "damaged.h264"), str(streams / "clean.h264")]
    arguments = ["--gt", str(streams / "truth"), "--json", "--output", str(streams / "out"), *VECTOR_FILL]
    assert command([*inputs, *arguments]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["psnr"]["decoded"] < second["psnr"]["decoded"] == 100
    assert first["input"].endswith("damaged.h264") and first.keys() >= METRICS | {"iou", "precision", "recall"}


def bad_inputs(folder, clean_stream):
    """Make the inputs that cannot be read."""
    units = scan(clean_stream)
    first_slice = next(unit for unit in units if unit.is_slice)
    (folder / "empty.h264").touch()
    (folder / "text.h264").write_text("this is no video\n" * 200)
    (folder / "text.mp4").write_text("neither is this\n" * 200)
    (folder / "cut.h264").write_bytes(clean_stream[: first_slice.payload + 3])
    sets = {7, 8}
    bare = b"".join(clean_stream[unit.start : unit.end] for unit in units if unit.type not in sets)
    (folder / "bare.h264").write_bytes(bare)
    with av.open(str(folder / "sound.mp4"), "w") as output:
        sound = output.add_stream("aac", rate=48000)
        add_silence(output, sound)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_input_is_one_line_and_exit_code_3(tmp_path, command, capsys, clean_stream, name):
    bad_inputs(tmp_path, clean_stream)
    code = command([str(tmp_path / name), "--output", str(tmp_path / "out"), "--stage", "parse"])
    said = capsys.readouterr()
    assert code == 3 and said.out == ""
    assert len(said.err.splitlines()) == 1 and name in said.err and "Traceback" not in said.err
    assert not (tmp_path / "out").exists()


def test_good_inputs_among_bad_ones_are_done(streams, command, capsys, clean_stream):
    bad_inputs(streams, clean_stream)
    names = [name for name in BAD if name != "text.mp4"]  # it would share its folder with text.h264
    inputs = [str(streams / name) for name in [*names[:2], "damaged.h264", *names[2:]]]
    assert command([*inputs, "--output", str(streams / "out"), *VECTOR_FILL]) == 3
    said = capsys.readouterr()
    told = [line for line in said.out.splitlines() if not line.startswith("  note: ")]
    assert len(said.err.splitlines()) == len(names) and len(told) == 1
    assert [p.name for p in (streams / "out").iterdir()] == ["damaged"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "INPUT"),
        (["a.h264", "--size", "big"], "WxH"),
        (["a.h264", "--device", "tpu"], "cuda:N"),
        (["a.h264", "--stage", "all"], "invalid choice"),
        (["a.h264", "--config", "nowhere.py"], "config not found: nowhere.py"),
        (["a.h264", "--masks", "m", "--stage", "detect"], "--masks"),
        (["a.h264", "a.mp4"], "both write to"),
    ],
)
def test_wrong_use_is_exit_code_2(command, capsys, arguments, said):
    try:
        code = command(arguments)
    except SystemExit as stop:
        code = stop.code
    assert code == 2 and said in capsys.readouterr().err


def test_earlier_results_are_kept_unless_told_otherwise(streams, command, capsys):
    arguments = [str(streams / "clean.h264"), "--stage", "parse", "--output", str(streams / "out")]
    assert command(arguments) == 0
    marker = streams / "out" / "clean" / "mine"
    marker.touch()
    assert command(arguments) == 2 and "--overwrite" in capsys.readouterr().err and marker.exists()
    assert command([*arguments, "--overwrite"]) == 0 and not marker.exists()


def test_a_truth_of_another_length_is_an_unreadable_input(streams, command, capsys):
    write_pictures(streams / "truth", np.zeros((3, 96, 128, 3), np.uint8))
    arguments = ["--gt", str(streams / "truth"), "--stage", "parse", "--output", str(streams / "out")]
    assert command([str(streams / "clean.h264"), *arguments]) == 3
    assert "holds 3 pictures" in capsys.readouterr().err and not (streams / "out").exists()


def test_the_shipped_sample_by_its_relative_path(tmp_path):
    arguments = [sys.executable, "test.py", "inputs/driving_damaged.h264", "--output", str(tmp_path), *VECTOR_FILL]
    done = subprocess.run(
        [*arguments, "--gt", "inputs/driving_clean.h264"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = metrics_of(tmp_path / "driving_damaged")
    assert (found["frames"], found["broken_access_units"]) == (54, 4)
    assert found["psnr"]["damaged"]["recovered"] > found["psnr"]["damaged"]["decoded"] + 1


@pytest.mark.parametrize(
    "tool", ["test.py", "train.py", *sorted(f"tools/{p.name}" for p in (ROOT / "tools").glob("*.py"))]
)
def test_every_command_explains_itself(tool):
    if not (ROOT / tool).exists():
        pytest.skip(f"{tool} is not part of this checkout")
    done = subprocess.run([sys.executable, tool, "--help"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "usage:" in done.stdout


def test_benchmark_prints_stages_and_memory(streams, capsys):
    benchmark = script(ROOT / "tools" / "benchmark.py").main
    assert benchmark(["pipeline", str(streams / "damaged.h264"), *VECTOR_FILL]) == 0
    said = capsys.readouterr().out
    assert all(word in said for word in ("read", "splice", "frames/s", "peak memory"))
    assert benchmark(["pipeline", str(streams / "damaged.h264"), "--json", *VECTOR_FILL]) == 0
    assert json.loads(capsys.readouterr().out)["peak_memory_bytes"] > 1 << 20
    assert benchmark(["pipeline", str(streams / "missing.h264"), *VECTOR_FILL]) == 3
