"""Verification finds every difference and nothing else."""

import shutil

import pytest

from b2scvr.data.bscv.records import gather
from b2scvr.data.bscv.settings import BuildSettings
from b2scvr.data.bscv.verify import verify
from b2scvr.types import InputError


@pytest.fixture
def copy(tmp_path, dataset):
    return shutil.copytree(dataset, tmp_path / "copy", symlinks=True)


def flip(path, at=-20):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_a_data_set_as_built_is_as_recorded(dataset):
    seen = []
    assert list(verify(dataset, workers=2, progress=lambda *state: seen.append(state))) == []
    assert seen[-1] == (2, 2, "")


def test_a_flipped_byte_a_missing_and_a_foreign_file_are_found(copy):
    flip(copy / "144096" / "masks" / "video" / "00003.png")
    (copy / "244096" / "BSC_JPEGImages" / "frames" / "00004.png").unlink()
    (copy / "244096" / "Diff" / "frames" / "extra.png").touch()
    (copy / "244096" / "BSC_h264" / "stranger_2.h264").touch()
    assert sorted(verify(copy, workers=1)) == [
        "144096/masks/video/00003.png differs from its checksum",
        "244096/BSC_JPEGImages/frames/00004.png is missing",
        "244096/BSC_h264/stranger_2.h264 belongs to no record",
        "244096/Diff/frames/extra.png is in no list of checksums",
    ]


def test_lists_and_records_are_guarded_too(copy):
    flip(copy / "144096" / "checksums" / "video.sha256", at=3)
    flip(copy / "records" / "frames.json", at=-3)
    found = list(verify(copy, derive=False, workers=1))
    assert len(found) == 3
    assert "records/frames.json differs from manifest.json" in found
    assert "144096/checksums/video.sha256: is not the list of checksums that was written" in found
    assert any("frames.json: not the record of a clip" in line for line in found)


def test_what_hashes_well_must_also_derive(copy):
    """A mask that was changed together with its checksums and records is found by making it again."""
    import hashlib
    import json

    mask = copy / "144096" / "masks" / "video" / "00000.png"
    old = hashlib.sha256(mask.read_bytes()).hexdigest()
    flip(mask)
    listed = copy / "144096" / "checksums" / "video.sha256"
    lines = listed.read_text().splitlines(keepends=True)
    new = hashlib.sha256(mask.read_bytes()).hexdigest()
    listed.write_text("".join(line.replace(old, new) if "masks/video/00000" in line else line for line in lines))
    record = copy / "records" / "video.json"
    content = json.loads(record.read_text())
    content["branches"]["144096"]["checksums"] = hashlib.sha256(listed.read_bytes()).hexdigest()
    record.write_text(json.dumps(content))
    gather(copy)
    assert list(verify(copy, derive=False, workers=1)) == []
    assert list(verify(copy, workers=1)) == ["144096/masks/video/00000.png derives differently"]


def test_clips_that_the_manifest_does_not_know_or_misses(copy):
    (copy / "records" / "video.json").rename(copy / "records" / "renamed.json")
    found = list(verify(copy, derive=False, workers=1))
    assert "records/video.json is missing" in found
    assert "records/renamed.json is not in manifest.json: gather it again" in found
    (copy / "manifest.json").unlink()
    assert any(line.startswith("manifest.json cannot be read") for line in verify(copy, derive=False, workers=1))


def test_what_is_no_data_set_is_refused(tmp_path):
    with pytest.raises(InputError, match="not a data set"):
        list(verify(tmp_path))
    assert BuildSettings().validate().layout == 1
