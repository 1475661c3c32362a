"""The Python calls of the contract: `b2scvr.read` and `b2scvr.recover`."""

from pathlib import Path

import numpy as np
import pytest

import b2scvr
from b2scvr.bitstream import reader
from b2scvr.types import AccessUnitStatus, InputError

ROOT = Path(__file__).resolve().parents[2]
VECTOR_FILL = ROOT / "configs" / "vector_fill.py"


@pytest.fixture
def damaged(tmp_path, damaged_stream):
    path = tmp_path / "damaged.h264"
    path.write_bytes(damaged_stream)
    return path


def test_read_gives_a_parsed_clip(damaged):
    clip = b2scvr.read(damaged).validate()
    assert clip.frames.shape == (24, 96, 128, 3) and clip.codec == "h264"
    assert AccessUnitStatus.BROKEN in clip.status


def test_recover_a_path_repairs_the_stream(damaged):
    recovered = b2scvr.recover(damaged, config=VECTOR_FILL, device="cpu")
    assert recovered.mode == "splice" and recovered.repaired
    assert np.array_equal(reader.decode(recovered.repaired).clip.frames, recovered.frames)
    again = b2scvr.recover(reader.read_coded(damaged), config=VECTOR_FILL)
    assert np.array_equal(again.frames, recovered.frames)


def test_recover_a_clip_without_its_stream_goes_picture_by_picture(damaged):
    clip = b2scvr.read(damaged)
    recovered = b2scvr.recover(clip, config=VECTOR_FILL)
    assert recovered.mode == "frames" and recovered.repaired is None
    intact = clip.status == AccessUnitStatus.INTACT
    assert np.array_equal(recovered.frames[intact], clip.frames[intact])


def test_recover_an_undamaged_clip_without_its_stream(tmp_path, clean_stream):
    (tmp_path / "clean.h264").write_bytes(clean_stream)
    clip = b2scvr.read(tmp_path / "clean.h264")
    recovered = b2scvr.recover(clip, config=VECTOR_FILL)
    assert recovered.mode == "untouched" and recovered.repaired is None and recovered.frames is clip.frames


def test_what_is_not_there_is_named(tmp_path, damaged):
    with pytest.raises(InputError, match="no such file"):
        b2scvr.read(tmp_path / "missing.h264")
    with pytest.raises(FileNotFoundError, match="config not found"):
        b2scvr.recover(damaged, config=tmp_path / "missing.py")
