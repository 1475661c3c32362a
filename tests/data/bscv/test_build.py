"""A data set: complete, repeatable, whole at any time, the same in parts."""

import errno
import json
import os
import shutil
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from b2scvr.bitstream.damage import branch, replay
from b2scvr.bitstream.reader import decode
from b2scvr.bitstream.video import load_frames
from b2scvr.data.bscv import build as build_module
from b2scvr.data.bscv import layout
from b2scvr.data.bscv.build import Shard, build, build_clip
from b2scvr.data.bscv.derive import Truth, Twin, encode_picture, make_truth, make_twin, twin_files
from b2scvr.data.bscv.records import gather, read_record
from b2scvr.data.bscv.settings import agree_on_settings, clip_seed
from b2scvr.data.bscv.sources import SourceClip, list_sources
from b2scvr.types import InputError

BRANCHES = ["144096", "244096"]


def picture(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_the_published_layout_is_there(dataset):
    kinds = {"BSC_h264", "BSC_JPEGImages", "masks", "Diff", "parses", "checksums", "train.json"}
    truth = {"GT_h264", "GT_JPEGImages"}
    links = {"JPEGImages", "BSCJPEGImages", "train_mask"}
    assert {path.name for path in (dataset / "144096").iterdir()} == kinds | truth | links | {"GT_checksums"}
    assert {path.name for path in (dataset / "244096").iterdir()} == kinds | truth | links
    for name in BRANCHES:
        for clip in ("video", "frames"):
            for kind in ("GT_JPEGImages", "BSC_JPEGImages", "masks", "Diff"):
                found = sorted(path.name for path in (dataset / name / kind / clip).iterdir())
                assert found == [f"{index:05d}.png" for index in range(10)]
            assert (dataset / name / "GT_h264" / f"{clip}.h264").is_file()
            assert (dataset / name / "BSC_h264" / f"{clip}_2.h264").is_file()
        assert json.loads((dataset / name / "train.json").read_text()) == {"frames": 10, "video": 10}
    assert (dataset / "244096" / "GT_h264").readlink() == Path("../144096/GT_h264")
    assert not list((dataset / ".work").iterdir())


def test_pictures_and_masks_are_those_of_the_two_streams(dataset):
    for name in BRANCHES:
        truth = decode((dataset / name / "GT_h264" / "video.h264").read_bytes()).clip.frames
        damaged = decode((dataset / name / "BSC_h264" / "video_2.h264").read_bytes()).clip.frames
        marked = 0
        for index in range(10):
            files = [dataset / name / kind / "video" / f"{index:05d}.png" for kind in layout.CLIP_ENTRIES]
            of_kind = dict(zip(layout.CLIP_ENTRIES, files, strict=True))
            assert np.array_equal(picture(of_kind["GT_JPEGImages"])[..., ::-1], truth[index])
            assert np.array_equal(picture(of_kind["BSC_JPEGImages"])[..., ::-1], damaged[index])
            levels = np.abs(truth[index].astype(int) - damaged[index]).max(axis=2)
            assert np.array_equal(picture(of_kind["Diff"]), np.where(levels > 15, 255, 0))
            mask = picture(of_kind["masks"])
            assert set(np.unique(mask)) <= {0, 255} and (mask >= picture(of_kind["Diff"])).all()
            marked += int((mask > 0).sum())
        assert marked > 0


def test_masks_of_a_known_difference(settings, dataset):
    clean = np.full((2, 32, 48, 3), 100, np.uint8)
    broken = clean.copy()
    broken[1, 16, 10, 1] = 116  # visible
    broken[1, 16, 18, 2] = 84  # visible, 8 pixels on: a 9x9 closing joins both
    broken[1, 16, 28, 0] = 116  # visible, 10 pixels on: stays alone
    broken[1, 4, 4] = 115  # 15 levels are not visible
    clip = decode((dataset / "144096" / "GT_h264" / "video.h264").read_bytes()).clip
    truth = Truth(b"", replace(clip, frames=clean), [encode_picture(p, settings) for p in clean])
    twin = Twin(b"", {}, replace(clip, frames=broken), np.array([False, True]))
    files = dict(twin_files("144096", "c", truth, twin, replace(settings, parses=False)))

    def marked(kind, index):
        image = cv2.imdecode(np.frombuffer(files[f"144096/{kind}/c/{index:05d}.png"], np.uint8), cv2.IMREAD_UNCHANGED)
        return sorted(map(tuple, np.argwhere(image).tolist()))

    assert marked("Diff", 0) == marked("masks", 0) == []
    assert marked("Diff", 1) == [(16, 10), (16, 18), (16, 28)]
    assert marked("masks", 1) == [(16, x) for x in range(10, 19)] + [(16, 28)]


def test_the_manifest_says_how_it_was_made(dataset, settings, content):
    manifest = json.loads((dataset / "manifest.json").read_text())
    assert manifest["settings"] == asdict(settings)
    assert manifest["masks"]["threshold"] == 15 and manifest["masks"]["closing_px"] == 9
    assert manifest["branches"]["244096"] | {"seed": 0} == branch("244096").as_dict() | {
        "gop": 5, "seed": 0, "clips": 2, "pictures": 20,
    }  # fmt: skip
    assert {"b2scvr", "av", "libavcodec", "opencv", "numpy"} <= manifest["versions"][0].keys()
    record = read_record(dataset, "video")
    assert (record.pictures, record.width, record.height, record.seed) == (10, 128, 96, clip_seed(5, "video"))
    assert record.branches["144096"]["status"]["lost"] == 0
    clean = (dataset / layout.truth_stream("video")).read_bytes()
    damaged = (dataset / layout.damaged_stream("244096", "video")).read_bytes()
    assert replay(clean, record.branches["244096"]["damage"]) == damaged
    listed = {line.split("  ")[1] for line in (dataset / "244096/checksums/video.sha256").read_text().splitlines()}
    files = {path.removeprefix("244096/") for path in content(dataset) if path.startswith("244096/")}
    assert listed == {path for path in files if "/video" in path and not path.startswith("checksums")}


def test_clips_are_damaged_each_in_its_own_way_and_branches_of_one_p_in_the_same_slices(dataset, settings):
    assert len({clip_seed(0, "a"), clip_seed(0, "b"), clip_seed(1, "b")}) == 3
    truth = make_truth((dataset / layout.truth_stream("video")).read_bytes(), settings)

    def cut(name):
        (made,) = make_twin(truth, name, "video", settings).damage["models"]
        return [(change["access_unit"], change["slice"]) for change in made["changes"]]

    assert cut("144096") == cut("124096") == cut("148192") != cut("244096")
    assert len(cut("144096")) == 2  # GOPs of five pictures


def test_branches_added_later_are_as_if_built_at_once(tmp_path, footage, settings, dataset, content):
    clips = list_sources(footage)
    build(clips, tmp_path, settings, ["244096"], workers=1)
    assert not (tmp_path / "144096" / "BSC_h264").exists()
    result = build(clips, tmp_path, settings, BRANCHES, workers=1)
    assert (result.built, result.kept) == (2, 0)
    assert content(tmp_path) == content(dataset)
    assert build(clips, tmp_path, settings, BRANCHES, workers=1).kept == 2


def test_shards_together_are_the_whole(tmp_path, footage, settings, dataset, content):
    clips = list_sources(footage)
    shards = [Shard(number, 3) for number in (1, 2, 3)]
    for clip in clips:
        assert sum(shard.holds(clip.id) for shard in shards) == 1
    for shard in shards:
        part = [clip for clip in clips if shard.holds(clip.id)]
        build(part, tmp_path / f"{shard.number}", settings, BRANCHES, workers=1)
        for path, data in content(tmp_path / f"{shard.number}").items():
            if isinstance(data, bytes):
                (tmp_path / "whole" / path).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / "whole" / path).write_bytes(data)
    manifest = gather(tmp_path / "whole")
    assert [entry["id"] for entry in manifest["clips"]] == ["frames", "video"]
    assert content(tmp_path / "whole") == content(dataset)
    with pytest.raises(ValueError, match="must lie between"):
        Shard(4, 3)


@pytest.mark.parametrize("step", [0, 1, 5, 14])
def test_a_clip_is_whole_or_absent_wherever_it_stops(tmp_path, footage, settings, monkeypatch, content, dataset, step):
    clip = SourceClip("video", footage / "video.h264")
    (tmp_path / "records").mkdir()
    agree_on_settings(tmp_path, settings)
    before, moves, replace_file = content(tmp_path), [], os.replace

    def stop(source, target):
        moves.append(target)
        if len(moves) > step:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace_file(source, target)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(build_module.os, "replace", stop)
        build_clip(clip, tmp_path, settings, BRANCHES)
    assert content(tmp_path) == before
    build_clip(clip, tmp_path, settings, BRANCHES)
    theirs = content(dataset)
    mine = {path: data for path, data in content(tmp_path).items() if "/video" in path}
    assert mine == {path: data for path, data in theirs.items() if "/video" in path}


def test_a_full_disk_stops_the_build_and_leaves_nothing(tmp_path, footage, settings, monkeypatch, content):
    clip = SourceClip("video", footage / "video.h264")
    written, write_bytes = [], Path.write_bytes

    def full(path, data):
        written.append(path)
        if len(written) > 7:
            write_bytes(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write_bytes(path, data)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(Path, "write_bytes", full)
        build_clip(clip, tmp_path, settings, BRANCHES)
    assert content(tmp_path) == {}


def test_a_clip_that_cannot_be_read_is_told_and_the_others_go_on(tmp_path, footage, settings):
    shutil.copy(footage / "video.h264", tmp_path / "good.h264")
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "holes").mkdir()
    (tmp_path / "holes" / "00000.jpg").write_bytes(b"no picture")
    result = build(list_sources(tmp_path), tmp_path.parent / "out", settings, ["144096"], workers=1)
    assert result.built == 1
    assert [failure.split(":")[0] for failure in sorted(result.failures)] == ["holes", "text"]
    assert "00000.jpg" in min(result.failures)


def test_other_settings_need_another_folder(dataset, footage, settings):
    with pytest.raises(InputError, match=r"crf 12 there, 20 now.*choose another folder"):
        build(list_sources(footage), dataset, replace(settings, crf=20), BRANCHES)


def test_zips_hold_what_folders_hold(tmp_path, footage, settings, dataset):
    clips = [clip for clip in list_sources(footage) if clip.id == "frames"]
    build(clips, tmp_path, replace(settings, zips=True), ["144096"], workers=1)
    for kind in ("GT_JPEGImages", "BSC_JPEGImages", "Diff"):
        with zipfile.ZipFile(tmp_path / "144096" / kind / "frames.zip") as archive:
            folder = dataset / "144096" / kind / "frames"
            assert {name: archive.read(name) for name in archive.namelist()} == {
                path.name: path.read_bytes() for path in folder.iterdir()
            }
    assert (tmp_path / "144096" / "train_mask" / "frames" / "00009.png").is_file()
    assert (tmp_path / "144096" / "JPEGImages" / "frames.zip").is_file()


def test_sizes_of_clips(tmp_path, footage, settings):
    clips = list_sources(footage)
    build(clips, tmp_path, replace(settings, size="48p", parses=False), ["144096"], workers=1)
    for clip in clips:
        record = read_record(tmp_path, clip.id)
        assert (record.width, record.height) == (64, 48)
        assert load_frames(tmp_path / "144096" / "GT_h264" / f"{clip.id}.h264").shape == (10, 48, 64, 3)
    assert not (tmp_path / "144096" / "parses").exists()
