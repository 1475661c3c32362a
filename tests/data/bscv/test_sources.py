"""What counts as a clip of a folder of footage."""

import pytest

from b2scvr.data.bscv.sources import coded_size, list_sources, parse_size, source_sha256
from b2scvr.types import InputError


def test_videos_and_folders_of_pictures_are_clips(footage):
    clips = list_sources(footage)
    assert [(clip.id, clip.is_folder) for clip in clips] == [("frames", True), ("video", False)]
    first = clips[0].path / "00000.jpg"
    before = source_sha256(clips[0])
    content = first.read_bytes()
    first.write_bytes(content + b"\0")
    assert source_sha256(clips[0]) != before
    first.write_bytes(content)
    assert source_sha256(clips[0]) == before


def test_footage_that_makes_no_sense(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        list_sources(tmp_path / "absent")
    with pytest.raises(InputError, match="neither videos nor folders"):
        list_sources(tmp_path)
    (tmp_path / "a.mp4").touch()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.mkv").touch()
    with pytest.raises(InputError, match="would both be clip 'a'"):
        list_sources(tmp_path)
    (tmp_path / "sub" / "a.mkv").rename(tmp_path / "sub" / "b\n.mkv")
    with pytest.raises(InputError, match="printable"):
        list_sources(tmp_path)


def test_sizes():
    assert coded_size(None, 640, 360) is None
    assert coded_size("240p", 640, 360) == (426, 240)
    assert coded_size("240p", 360, 640) == (136, 240)
    assert coded_size("432x240", 1, 1) == (432, 240)
    for wrong in ("240", "x240", "8x8", "large"):
        with pytest.raises(ValueError, match="is no size"):
            parse_size(wrong)
