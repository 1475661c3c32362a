"""The decode loop on streams of known content, whole and damaged."""

import numpy as np
import pytest

from b2scvr.bitstream import reader
from b2scvr.bitstream.damage import CutModel, damage
from b2scvr.bitstream.encode import encode_h264
from b2scvr.types import AccessUnitStatus, InputError, PictureType, PredictionMode

STEP = (3, -2)  # pixels a picture that the content moves, (x, y)


def moving(pictures=20, height=96, width=128, step=STEP, seed=0):
    """A smooth texture translated by `step` a picture, uint8 [T, H, W, 3]."""
    rng = np.random.default_rng(seed)
    big = rng.integers(0, 255, (height + 160, width + 160)).astype(np.float32)
    for axis in (0, 1):
        for _ in range(3):
            big = (np.roll(big, 1, axis) + big + np.roll(big, -1, axis)) / 3
    big = np.clip((big - big.mean()) * 4 + 128, 0, 255).astype(np.uint8)
    out = []
    for t in range(pictures):
        y, x = 80 - t * step[1], 80 - t * step[0]
        out.append(np.repeat(big[y : y + height, x : x + width, None], 3, axis=2))
    return np.stack(out)


@pytest.fixture(scope="module")
def clean():
    return encode_h264(moving(), gop=16)


@pytest.fixture(scope="module")
def damaged(clean):
    return damage(clean, CutModel(slices_per_gop=1, position=0.4, length=200, seed=3))[0]


def test_one_slot_per_access_unit_in_display_order(clean):
    clip = reader.decode(clean).clip
    assert len(clip) == 20 and sorted(clip.decode_index) == list(range(20))
    assert clip.is_key[0] and clip.is_key[16] and clip.picture_type[0] == PictureType.I
    assert (clip.status == AccessUnitStatus.INTACT).all() and not clip.concealed.any()
    assert (np.abs(clip.frames.astype(int) - moving()).mean(axis=(1, 2, 3)) < 6).all()


def test_translation_comes_back_as_vectors():
    clip = reader.decode(encode_h264(moving(), gop=16, options={"bf": "0", "refs": "1"})).clip
    inner = clip.mv_past[3, 2:-2, 2:-2][clip.mv_past_valid[3, 2:-2, 2:-2]]
    assert len(inner) > 20
    assert np.abs(np.median(inner, axis=0) - [-STEP[0], -STEP[1]]).max() <= 0.25


def test_a_flipped_clip_gives_flipped_vectors():
    options = {"bf": "0", "refs": "1"}
    plain = reader.decode(encode_h264(moving(), gop=16, options=options)).clip
    flipped = reader.decode(encode_h264(moving()[:, :, ::-1], gop=16, options=options)).clip
    medians = [np.median(clip.mv_past[5][clip.mv_past_valid[5]], axis=0) for clip in (plain, flipped)]
    assert np.abs(medians[0] * [-1, 1] - medians[1]).max() <= 0.25


def test_modes_agree_with_vectors(clean):
    clip = reader.decode(clean).clip
    has_past = clip.mv_past_valid[:, ::2, ::2][:, : clip.mode.shape[1], : clip.mode.shape[2]]
    assert not clip.mode[0][has_past[0]].any()
    assert (clip.mode[clip.picture_type == PictureType.I] <= PredictionMode.PCM).all()
    assert has_past[clip.mode == PredictionMode.PAST].all()
    assert not clip.notes


def test_qp_is_read(clean):
    clip = reader.decode(clean).clip
    assert (clip.qp >= 0).all() and (clip.qp <= 51).all() and clip.qp.std() >= 0


def test_damage_is_told_and_aligned(clean, damaged):
    whole, broken = reader.decode(clean).clip, reader.decode(damaged).clip
    assert len(whole) == len(broken)
    differs = (whole.frames != broken.frames).any(axis=(1, 2, 3))
    assert differs.any()
    assert (broken.status[differs] != AccessUnitStatus.INTACT).all()
    for slot in np.flatnonzero(broken.status == AccessUnitStatus.BROKEN):
        assert broken.concealed[slot].any() and slot in broken.planes
        assert broken.planes[slot].y.shape == (96, 128)


def test_decoding_is_repeatable(damaged):
    first, second = (reader.decode(damaged).clip for _ in range(2))
    for name in ("frames", "mv_past", "mv_future", "mode", "qp", "concealed", "damage_trace", "status"):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name


def test_a_guarded_read_gives_the_same(tmp_path, damaged):
    path = tmp_path / "clip.h264"
    path.write_bytes(damaged)
    inside, guarded = reader.decode(damaged), reader.read_coded(path)
    assert np.array_equal(inside.clip.frames, guarded.clip.frames)
    assert inside.access_units == guarded.access_units
    assert guarded.stream() == damaged


@pytest.mark.parametrize("content", [b"", b"this is not a video\n" * 40, b"\x00\x00\x01\x65\x88\x84\x00\x10" * 20])
def test_what_is_no_video_is_refused_by_name(tmp_path, content):
    path = tmp_path / "bad.h264"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.h264"):
        reader.read(path)


def test_a_stream_cut_inside_its_first_picture_is_refused(tmp_path, clean):
    path = tmp_path / "cut.h264"
    path.write_bytes(clean[:60])
    with pytest.raises(InputError, match=r"cut\.h264"):
        reader.read(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        reader.read(tmp_path / "nowhere.h264")
