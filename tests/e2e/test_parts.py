"""`test.py` on files that are worked at part by part."""

import functools
import json

import av
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from b2scvr.bitstream import reader
from b2scvr.bitstream.damage import CutModel, damage
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.nal import START_CODE, NalType
from b2scvr.bitstream.parts import CodedFile
from b2scvr.bitstream.specimens import ALL, GOP, make, moving_pictures
from b2scvr.config import load_config
from b2scvr.dac.published_tracker import PublishedTracker
from b2scvr.engine import infer
from b2scvr.engine.infer import Request, run
from b2scvr.engine.inputs import Job
from b2scvr.engine.progress import StageProgress
from b2scvr.engine.write_results import Results, joined_notes
from b2scvr.pipeline import Pipeline, Recoverer
from b2scvr.registry import MODELS
from b2scvr.types import AccessUnitStatus
from b2scvr.write import read_masks, read_pictures, write_masks

SIZE = (96, 128)
COUNTED = (
    "frames", "broken_access_units", "dependent_access_units", "lost_access_units", "mode", "restored", "damaged_frames",
)  # fmt: skip


@pytest.fixture(scope="module")
def clean():
    return encode_h264(moving_pictures(48, SIZE), gop=12, options={"bf": "0"})


@pytest.fixture(scope="module")
def damaged(clean):
    return damage(clean, CutModel(slices_per_gop=1, gop=12, position=0.4, length=100, seed=1))[0]


@pytest.fixture
def recover(tmp_path, monkeypatch):
    """Runs inference on a stream, in parts of one IDR period or as a whole; returns its folder and its metrics."""

    def do(
        stream, in_parts, name="clip.h264", config="configs/vector_fill.py", mode="auto", checkpoint=None, **request
    ):
        source = tmp_path / name
        source.write_bytes(stream)
        if in_parts:
            monkeypatch.setattr(infer, "CodedFile", type("Parted", (CodedFile,), {
                "parts": functools.partialmethod(CodedFile.parts, most_pixels=1)
            }))  # fmt: skip
        job = Job(source, tmp_path / f"{source.stem}-{'parts' if in_parts else 'whole'}")
        recoverer = Recoverer(config, checkpoint, mode=mode)
        [outcome] = run([job], Request(**request).validate(), recoverer, StageProgress)
        monkeypatch.setattr(infer, "CodedFile", CodedFile)
        assert outcome.error is None, outcome.error
        return job.target, json.loads((job.target / "metrics.json").read_text())

    return do


def shown(path):
    return reader.read(path).frames


def test_parts_come_to_the_same_as_the_whole(recover, damaged, clean, tmp_path):
    (tmp_path / "truth.h264").write_bytes(clean)
    runs = [recover(damaged, in_parts, truth=tmp_path / "truth.h264") for in_parts in (False, True)]
    (whole, found), (parts, found_in_parts) = runs
    assert found["mode"] == "splice" and found["frames"] == 48 and len(found["restored"]) == 4
    assert {name: found_in_parts[name] for name in COUNTED} == {name: found[name] for name in COUNTED}
    # What the decoder invents in a broken picture depends on what it decoded before.
    assert found_in_parts["psnr"]["recovered"] == pytest.approx(found["psnr"]["recovered"], abs=0.2)
    assert found_in_parts["iou"] == pytest.approx(found["iou"], abs=0.05)
    intact = reader.decode(damaged).clip.status == AccessUnitStatus.INTACT
    assert np.array_equal(read_pictures(whole / "frames")[intact], read_pictures(parts / "frames")[intact])
    assert len(read_masks(parts / "masks")) == 48 and shown(parts / "recovered.mp4").shape == (48, *SIZE, 3)
    assert {path.name for path in whole.iterdir()} == {path.name for path in parts.iterdir()}
    assert sum("times as large" in note for note in found_in_parts["notes"]) == 1


def test_the_repaired_stream_shows_the_frames(recover, damaged):
    folder, _ = recover(damaged, in_parts=True)
    assert np.array_equal(shown(folder / "repaired.h264"), read_pictures(folder / "frames"))


def test_what_nothing_touched_comes_back_bit_for_bit(recover, clean):
    folder, found = recover(clean, in_parts=True)
    assert (folder / "repaired.h264").read_bytes() == clean and found["mode"] == "untouched"
    assert not found["restored"] and found["damaged_frames_detected"] == 0


def test_a_broadcast_that_begins_in_the_middle(recover):
    """Only recovery points, and the pictures before the first one have nothing to predict from: the rest is spliced."""
    options = {"x264-params": "open-gop=1:scenecut=0:keyint=12:b-adapt=0:bframes=2"}
    coded = reader.decode(encode_h264(moving_pictures(60, SIZE), gop=12, options=options))
    first, *_, last = np.sort(coded.clip.decode_index[coded.clip.is_key])[1:]
    units = coded.access_units[first:]
    at = int(last - first) + 1  # a P picture: its leading B pictures come behind it
    units[at] = units[at][: len(units[at]) // 2]
    runs = [recover(b"".join(units), in_parts) for in_parts in (False, True)]
    for folder, found in runs:
        assert found["mode"] == "splice" and found["lost_access_units"] == 0 and found["broken_access_units"] == 1
        assert np.array_equal(shown(folder / "repaired.h264"), read_pictures(folder / "frames"))
    (whole, found), (parts, found_in_parts) = runs
    assert {name: found_in_parts[name] for name in COUNTED[:-1]} == {name: found[name] for name in COUNTED[:-1]}
    assert np.array_equal(read_pictures(whole / "frames"), read_pictures(parts / "frames"))


def test_damage_over_a_recovery_point_between_parts_leaves_stream_and_frames_the_same(recover):
    """Leading pictures are shown before the recovery point and predict from what was repaired before it, too."""
    options = {"x264-params": "open-gop=1:scenecut=0:keyint=12:b-adapt=0:bframes=2"}
    units = reader.decode(encode_h264(moving_pictures(60, SIZE), gop=12, options=options)).access_units
    for at in (10, 13, 22, 31):
        broken = [*units[:at], units[at][: len(units[at]) // 2], *units[at + 1 :]]
        folder, found = recover(b"".join(broken), in_parts=True, name=f"{at}.h264")
        assert found["mode"] == "splice" and len(found["restored"]) == 1
        assert np.array_equal(shown(folder / "repaired.h264"), read_pictures(folder / "frames"))


def test_one_long_period_is_cut_inside(recover, tmp_path, monkeypatch):
    clean = encode_h264(moving_pictures(48, SIZE), gop=1000, options={"bf": "0", "sc_threshold": "0"})
    (tmp_path / "truth.h264").write_bytes(clean)
    units = reader.decode(clean).access_units
    for at in (13, 30):
        units[at] = units[at][: len(units[at]) // 2]
    monkeypatch.setattr(infer, "PERIOD_PIXELS", 1)
    read = []
    monkeypatch.setattr(
        Results, "add", lambda self, part, *rest, add=Results.add: read.append(part) or add(self, part, *rest)
    )
    stream, truth = b"".join(units), tmp_path / "truth.h264"
    (whole, found), (parts, found_in_parts) = (recover(stream, in_parts, truth=truth) for in_parts in (False, True))
    assert len(read) == 1 + 7 and all(len(part.coded.clip) < 48 for part in read[1:])
    assert found["mode"] == "splice" and found["restored"] == [13, 30]
    assert {name: found_in_parts[name] for name in COUNTED} == {name: found[name] for name in COUNTED}
    assert np.array_equal(read_pictures(whole / "frames"), read_pictures(parts / "frames"))
    masks, in_parts = read_masks(whole / "masks") > 0, read_masks(parts / "masks") > 0
    assert np.array_equal(masks[:30], in_parts[:30])
    # What the decoder invents in a broken picture depends on what it decoded before.
    assert (masks & in_parts).sum() > 0.98 * (masks | in_parts).sum()
    assert np.array_equal(shown(parts / "repaired.h264"), read_pictures(parts / "frames"))


@pytest.mark.parametrize(
    "config, mode, is_told",
    [
        ("configs/vector_fill.py", "frames", False),
        ("configs/vector_fill.py", "drift", False),
        ("configs/vector_fill.py", "auto", True),
        ("configs/cfc/corrected_small.py", "frames", True),
    ],
)
def test_one_long_period_is_cut_inside_where_nothing_is_put_into_the_stream(
    recover, tmp_path, monkeypatch, config, mode, is_told
):
    clean = encode_h264(moving_pictures(36, SIZE), gop=1000, options={"bf": "0", "sc_threshold": "0"})
    (tmp_path / "truth.h264").write_bytes(clean)
    units = reader.decode(clean).access_units
    units[9] = units[9][: len(units[9]) // 2]
    stream = b"".join(units)
    given = {}
    if is_told:
        differs = (reader.decode(stream).clip.frames != reader.decode(clean).clip.frames).any(axis=3)
        write_masks(tmp_path / "masks", differs.astype(np.uint8))
        given["masks"] = tmp_path / "masks"
    loaded = load_config(config)
    weights = random_weights(loaded, tmp_path) if "frames" in loaded else None
    monkeypatch.setattr(infer, "PERIOD_PIXELS", 1)
    read, entered = [], []
    monkeypatch.setattr(
        Results, "add", lambda self, part, *rest, add=Results.add: read.append(part) or add(self, part, *rest)
    )
    runs = []
    for in_parts in (False, True):
        folder, found = recover(
            stream, in_parts, config=loaded, checkpoint=weights, mode=mode, truth=tmp_path / "truth.h264", **given
        )
        runs.append((read_pictures(folder / "frames"), read_masks(folder / "masks") > 0, found))
        entered.append([part for part in read if part.begins_inside])
        read.clear()
    (whole, masks, found), (parts, masks_of_parts, found_in_parts) = runs
    assert not entered[0] and len(entered[1]) >= 3
    assert all(len(part.coded.clip) < 36 and part.restored_before is not None for part in entered[1][2:])
    assert {name: found_in_parts[name] for name in COUNTED[:-1]} == {name: found[name] for name in COUNTED[:-1]}
    decoded = reader.decode(stream).clip.frames
    changed = np.abs(whole.astype(int) - decoded)
    # What the decoder invents in a broken picture depends on what it decoded before.
    assert np.abs(parts.astype(int) - whole).mean() < 0.1 * changed.mean() > 0
    assert (masks & masks_of_parts).sum() > 0.95 * (masks | masks_of_parts).sum()
    assert found_in_parts["psnr"]["recovered"] == pytest.approx(found["psnr"]["recovered"], abs=0.2)


def test_pictures_that_are_put_in_at_a_cut_inside_a_period_are_put_in_once(recover, monkeypatch):
    options = {"bf": "0", "sc_threshold": "0"}
    units = reader.decode(encode_h264(moving_pictures(36, SIZE), gop=1000, options=options)).access_units
    monkeypatch.setattr(infer, "PERIOD_PIXELS", 1)
    for gone in range(12, 22):
        folder, found = recover(b"".join(units[:gone] + units[gone + 1 :]), in_parts=True, name=f"{gone}.h264")
        assert found["mode"] == "splice" and found["frames"] == 35
        assert np.array_equal(
            np.delete(shown(folder / "repaired.h264"), gone, axis=0), read_pictures(folder / "frames")
        )


def test_a_part_without_damage_of_its_own_is_not_looked_at(recover, clean, monkeypatch):
    units = reader.decode(clean).access_units
    units[30] = units[30][: len(units[30]) // 2]
    seen = []
    work = Pipeline._recover
    monkeypatch.setattr(
        Pipeline, "_recover", lambda self, coded, *rest: seen.append(len(coded.clip)) or work(self, coded, *rest)
    )
    folder, found = recover(b"".join(units), in_parts=True, mode="splice")
    assert len(seen) == 1 and found["mode"] == "splice" and found["restored"] == [30]
    assert np.array_equal(read_pictures(folder / "frames")[:24], shown(folder.parent / "clip.h264")[:24])


def test_a_container_comes_back_whole(recover, tmp_path):
    movie = bytearray(make(ALL["h264-mp4"], moving_pictures(4 * GOP, SIZE)))
    (tmp_path / "intact.mp4").write_bytes(movie)
    victim = max(reader.read_coded(tmp_path / "intact.mp4").access_units[GOP + 1 : 2 * GOP], key=len)
    at = movie.index(victim[-len(victim) // 2 :])
    movie[at : at + 40] = b"\x5a" * 40
    folder, found = recover(bytes(movie), in_parts=True, name="movie.mp4")
    assert found["mode"] == "splice" and found["frames"] == 4 * GOP
    with av.open(str(folder / "repaired.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
    assert np.array_equal(shown(folder / "repaired.mp4"), read_pictures(folder / "frames"))


@pytest.mark.parametrize(
    "name, suffix, mode", [("mpeg2", ".m2v", "drift"), ("mpeg4-avi", ".avi", "drift"), ("hevc", ".hevc", "frames")]
)
def test_other_codecs_come_to_the_same_in_parts(recover, tmp_path, name, suffix, mode):
    data = bytearray(make(ALL[name], moving_pictures(4 * GOP, SIZE)))
    (tmp_path / f"clean{suffix}").write_bytes(data)
    unit = CodedFile(tmp_path / f"clean{suffix}").units[2 * GOP + 3]
    start = data.index(unit) + (
        6 if mode == "frames" else len(unit) // 3
    )  # HEVC's decoder tells of pictures without headers
    data[start : start + 40] = b"\xff" * 40
    runs = [recover(bytes(data), in_parts, name=f"clip{suffix}") for in_parts in (False, True)]
    (whole, found), (parts, found_in_parts) = runs
    assert found["frames"] == found_in_parts["frames"] == 4 * GOP
    assert found["restored"] == found_in_parts["restored"] != []
    assert found["mode"] == found_in_parts["mode"] == mode
    assert np.array_equal(read_pictures(whole / "frames"), read_pictures(parts / "frames"))


def test_pictures_that_were_put_in_stay_out_of_the_frames(recover, clean):
    units = reader.decode(clean).access_units
    folder, found = recover(b"".join(units[:15] + units[16:]), in_parts=True)
    assert found["frames"] == 47 == len(read_pictures(folder / "frames"))
    assert len(shown(folder / "repaired.h264")) == 48
    assert any(note.startswith("pictures 12 to 22: ") and "1 more" in note for note in found["notes"])


def test_a_part_that_cannot_be_spliced_is_left_as_it_came(recover, damaged):
    units = reader.decode(damaged).access_units
    units[20] += START_CODE + bytes([NalType.PARTITION_A, 0x5A])  # nothing that is read with a partition can be spliced
    folder, found = recover(b"".join(units), in_parts=True)
    assert found["mode"] == "drift" and found["frames"] == 48 and len(found["restored"]) == 4
    assert any("elsewhere it is as it came" in note for note in found["notes"])
    assert any(note.startswith("pictures 12 to 23: recovered in drift mode") for note in found["notes"])
    same = shown(folder / "repaired.h264") == read_pictures(folder / "frames")
    assert same[:12].all() and same[36:].all() and not same[12:24].all()
    stream = (folder / "repaired.h264").read_bytes()
    assert b"".join(units[12:36]) in stream and not stream.startswith(b"".join(units[:12]))


def test_given_masks_and_other_stages_work_in_parts(recover, damaged, tmp_path):
    masks = np.zeros((48, *SIZE), np.uint8)
    masks[20:30, 10:40, 20:60] = 1
    write_masks(tmp_path / "masks", masks)
    folder, found = recover(damaged, in_parts=True, mode="frames", masks=tmp_path / "masks")
    assert found["mode"] == "frames" and found["restored"] == list(range(20, 30))
    assert np.array_equal(read_masks(folder / "masks"), masks)
    outside = read_pictures(folder / "frames")[masks == 0] == reader.decode(damaged).clip.frames[masks == 0]
    assert outside.mean() > 0.99  # all but what the decoder invents
    detected, found = recover(damaged, in_parts=True, name="again.h264", stage="detect")
    assert (
        found["mode"] == "detect"
        and found["damaged_frames_detected"] == read_masks(detected / "masks").any((1, 2)).sum()
    )


def random_weights(config, folder):
    """Write weights of the config's networks, drawn anew; return the file."""
    torch.manual_seed(0)
    networks = {part: MODELS.build(config[part]) for part in ("dac", "cfc")}
    values = {
        f"{part}.{name}": value.clone().contiguous()
        for part, network in networks.items()
        if isinstance(network, torch.nn.Module)
        for name, value in network.state_dict().items()
    }
    save_file(values, folder / "random.safetensors")
    return folder / "random.safetensors"


@pytest.mark.parametrize("schedule", ["exact", "fast"])
def test_windows_of_the_full_network_reach_from_part_to_part(recover, clean, tmp_path, schedule):
    """These pictures decode alike wherever the reading begins, so that each part gives what the whole file gives."""
    units = reader.decode(clean).access_units
    for broken in (4, 22, 23):
        units[broken] = units[broken][: len(units[broken]) // 2]
    config = load_config("configs/cfc/corrected_small.py")
    config["frames"]["schedule"] = schedule
    weights = random_weights(config, tmp_path)
    runs = [
        recover(b"".join(units), in_parts, config=config, checkpoint=weights, mode="frames")
        for in_parts in (False, True)
    ]
    (whole, found), (parts, found_in_parts) = runs
    assert found["mode"] == "frames" and len(found["restored"]) == 10
    assert {name: found_in_parts[name] for name in COUNTED[:-1]} == {name: found[name] for name in COUNTED[:-1]}
    assert np.array_equal(read_pictures(whole / "frames"), read_pictures(parts / "frames"))
    assert not np.array_equal(read_pictures(parts / "frames"), reader.decode(b"".join(units)).clip.frames)


@pytest.fixture
def published_small():
    """Both published networks, at sizes for a test."""
    config = load_config("configs/cfc/corrected_small.py")
    trunk = {"embed_dim": 24, "stages": (1, 1, 2, 1), "window_spec": (8, 4, 4, 2), "global_att_blocks": (3,)}
    config["dac"] = {
        "type": "PublishedDetector",
        "sam": {"image_size": 64, **trunk},
        "neck": {"blocks": 1, "depth": 1, "window": 4},
    }
    return config


@pytest.mark.parametrize("recovery", ["windows", "pictures"])
@pytest.mark.parametrize("first", [None, 14])
def test_the_published_detector_tracks_from_part_to_part(
    recover, clean, tmp_path, monkeypatch, published_small, recovery, first
):
    units = reader.decode(clean).access_units
    for broken in (4, 22, 23):
        units[broken] = units[broken][: len(units[broken]) // 2]
    if recovery == "pictures":
        published_small["cfc"] = {"type": "VectorFill"}
    given = {}
    if first is not None:
        mask = np.zeros((first + 1, *SIZE), np.uint8)
        mask[first, 40:, :64] = 1
        write_masks(tmp_path / "first", mask)
        given["first_mask"] = tmp_path / "first"
    weights, shows, marks, counts = random_weights(published_small, tmp_path), [], [], []
    for stage in ("recover", "detect"):
        for in_parts in (False, True):
            monkeypatch.setattr(PublishedTracker, "needs_clip", not in_parts)
            folder, found = recover(
                b"".join(units), in_parts, config=published_small, checkpoint=weights, stage=stage, **given
            )
            marks.append(read_masks(folder / "masks"))
            counts.append({key: found[key] for key in COUNTED[:3]})
            if stage == "recover":
                assert found["mode"] == "frames" and len(found["restored"]) == marks[-1].any((1, 2)).sum() > 0
                shows.append(read_pictures(folder / "frames"))
    assert np.array_equal(*shows) and all(np.array_equal(marks[0], other) for other in marks[1:])
    assert all(one == counts[0] for one in counts)
    assert not marks[0][: first or 4].any()


def test_notes_on_parts_become_notes_on_the_file():
    notes = {0: ("same", "first"), 10: ("same",), 20: ("same", "last", "first")}
    assert joined_notes(notes, 25) == [
        "same",
        "pictures 0 to 9: first",
        "pictures 20 to 24: last",
        "pictures 20 to 24: first",
    ]
    assert joined_notes({0: ("one", "two")}, 25) == ["one", "two"]
    many = joined_notes({number: (f"note {number}",) for number in range(30)}, 30)
    assert len(many) == 21 and many[-1] == "and 10 more notes"
