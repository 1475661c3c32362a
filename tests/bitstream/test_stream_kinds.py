"""The evidence of every kind of H.264 stream, against content whose motion and structure are known."""

import numpy as np
import pytest

from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.reader import decode
from b2scvr.types import AccessUnitStatus, Partition, PictureType, PredictionMode

STEP = np.array((2.0, 1.0))  # pixels a picture by which tests/conftest.py moves its window over the texture
KINDS = {
    "defaults": ({}, "yuv420p"),
    "no B": ({"bf": "0"}, "yuv420p"),
    "CAVLC": ({"coder": "cavlc"}, "yuv420p"),
    "no weights, no 8x8": ({"weightp": "0", "8x8dct": "0"}, "yuv420p"),
    "slices": ({"slices": "3"}, "yuv420p"),
    "open GOP": ({"x264-params": "open-gop=1"}, "yuv420p"),
    "temporal direct": ({"x264-params": "direct=temporal"}, "yuv420p"),
    "4:2:2": ({}, "yuv422p"),
    "4:4:4": ({}, "yuv444p"),
    "10 bit": ({}, "yuv420p10le"),
    "10 bit 4:2:2, CAVLC": ({"coder": "cavlc"}, "yuv422p10le"),
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request, pictures):
    options, pix_fmt = KINDS[request.param]
    return decode(encode_h264(pictures, gop=12, options=options, pix_fmt=pix_fmt)).clip


def displaced(clip, t, side):
    """Vectors of picture `t` divided by the distance to the picture that each means: pixels a picture."""
    mv, valid, reference = (
        (clip.mv_past[t], clip.mv_past_valid[t], clip.past_reference[t])
        if side == "past"
        else (clip.mv_future[t], clip.mv_future_valid[t], clip.future_reference[t])
    )
    inside = np.zeros_like(valid)
    inside[2:-2, 2:-2] = True  # what the window has just uncovered has no true vector
    valid = valid & inside
    assert (reference[valid] >= 0).all()
    return mv[valid] / (t - reference[valid])[:, None]


def test_a_translation_is_told_by_the_vectors(kind):
    """The content of picture t lies STEP * (t - r) further on in picture r."""
    told = [displaced(kind, t, side) for t in range(1, len(kind)) for side in ("past", "future")]
    told = np.concatenate([part for part in told if len(part)])
    assert len(told) > 500
    assert (np.abs(told - STEP).max(axis=1) <= 0.25).mean() > 0.9


def test_nothing_is_damaged_and_all_is_told(kind):
    assert (kind.status == AccessUnitStatus.INTACT).all() and not kind.damage_trace.any()
    assert (kind.mode != PredictionMode.UNKNOWN).all() and (kind.qp >= 0).all()
    assert kind.sources["mode"].startswith("libavcodec") and not kind.notes
    intra = (PredictionMode.INTRA_NXN, PredictionMode.INTRA_16X16, PredictionMode.PCM)
    first = np.isin(kind.mode[0], intra)
    assert kind.picture_type[0] == PictureType.I and first.all() and not kind.mv_past_valid[0].any()


def test_modes_agree_with_vectors(kind):
    """Two sources, side data and the decoder's print, must tell the same of each macroblock."""
    rows, columns = kind.mode.shape[1:]
    for t in range(len(kind)):
        past = kind.mv_past_valid[t][: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2)
        future = kind.mv_future_valid[t][: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2)
        has_past, has_future = past.any(axis=(1, 3)), future.any(axis=(1, 3))
        mode, whole = kind.mode[t], kind.partition[t] == Partition.WHOLE
        assert (has_past & ~has_future)[(mode == PredictionMode.PAST) & whole].all()
        assert (has_future & ~has_past)[(mode == PredictionMode.FUTURE) & whole].all()
        assert (has_past & has_future)[(mode == PredictionMode.BOTH) & whole].all()
        assert not (has_past | has_future)[mode <= PredictionMode.PCM].any()


def test_positions_cover_the_stream(clean_stream):
    coded = decode(clean_stream)
    table = coded.clip.nal_units
    assert table["offset"][0] == 0 and (np.diff(table["offset"]) == table["size"][:-1]).all()
    assert table["offset"][-1] + table["size"][-1] == len(b"".join(coded.access_units))
    slices = table[np.isin(table["type"], (1, 5))]
    assert np.array_equal(np.sort(slices["slot"]), np.arange(24)) and (slices["first_mb"] == 0).all()
    assert (slices["type"] == 5).sum() == 2 and set(slices["slice_type"] % 5) == {0, 1, 2}
    for row in slices[:3]:
        assert clean_stream[row["offset"] :][:4] in (
            b"\x00\x00\x00\x01",
            b"\x00\x00\x01" + clean_stream[row["offset"] + 3 :][:1],
        )


def test_a_mirrored_clip_has_mirrored_vectors(pictures):
    clip, mirrored = (decode(encode_h264(p, gop=12)).clip for p in (pictures, pictures[:, :, ::-1]))
    for t in (3, 7, 11):
        straight, turned = displaced(clip, t, "past"), displaced(mirrored, t, "past")
        assert np.allclose(np.median(straight, 0) * (-1, 1), np.median(turned, 0), atol=0.25)


def test_cropped_sizes_have_maps_of_whole_blocks(moving):
    clip = decode(encode_h264(moving(6, 90, 122), gop=6)).clip
    assert clip.frames.shape == (6, 90, 122, 3)
    assert clip.mode.shape == (6, 6, 8) and clip.mv_past.shape == (6, 12, 16, 2)


def test_interlaced_streams_tell_modes_and_horizontal_motion(pictures):
    clip = decode(encode_h264(pictures[:, :96], gop=12, options={"x264-params": "tff=1"})).clip
    assert (clip.status == AccessUnitStatus.INTACT).all()
    assert (clip.mode != PredictionMode.UNKNOWN).all()
    steps = [clip.mv_past[t][clip.mv_past_valid[t]][:, 0] / STEP[0] for t in range(1, 12)]
    steps = np.concatenate(steps)
    assert len(steps) > 300 and (np.abs(steps - np.rint(steps)) <= 0.125).mean() > 0.8
