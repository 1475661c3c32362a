"""RGB and 4:2:0 samples: known colours, the round trip through libswscale's conversion, and merging."""

import av
import cv2
import numpy as np
import pytest

from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.planes import (
    colour_of,
    grow_planes,
    merge_planes,
    pixel_format_of,
    planes_from_frame,
    planes_to_rgb,
    rgb_to_planes,
)
from b2scvr.types import Planes


def _psnr(first, second):
    return 10 * np.log10(255**2 / max(np.square(first.astype(float) - second).mean(), 1e-9))


def _planes(height=58, width=106, seed=0):
    rng = np.random.default_rng(seed)
    smooth = [
        cv2.GaussianBlur(rng.normal(0, 1, size).astype(np.float32), (0, 0), 2)
        for size in ((height, width), (height // 2, width // 2), (height // 2, width // 2))
    ]
    y, u, v = (
        np.clip(np.rint(mean + spread * plane / np.abs(plane).max()), 16, 235).astype(np.uint8)
        for plane, mean, spread in zip(smooth, (120, 128, 128), (70, 30, 30), strict=True)
    )
    return Planes(y, u, v)


@pytest.mark.parametrize(
    ("colour", "matrix", "full_range", "expected"),
    [
        ((0, 0, 0), "bt601", False, (16, 128, 128)),
        ((255, 255, 255), "bt601", False, (235, 128, 128)),
        ((255, 255, 255), "bt601", True, (255, 128, 128)),
        ((255, 0, 0), "bt601", False, (81, 90, 240)),  # BT.601 colour bars
        ((0, 0, 255), "bt601", False, (41, 240, 110)),
        ((255, 0, 0), "bt709", False, (63, 102, 240)),  # BT.709 colour bars
        ((0, 255, 0), "bt709", False, (173, 42, 26)),
        ((255, 0, 0), "bt601", True, (76, 85, 255)),
    ],
)
def test_known_colours(colour, matrix, full_range, expected):
    planes = rgb_to_planes(np.full((16, 32, 3), colour, np.uint8), matrix, full_range)
    for plane, value in zip((planes.y, planes.u, planes.v), expected, strict=True):
        assert np.abs(plane.astype(int) - value).max() <= 2  # libswscale's own conversion is as coarse as that


@pytest.mark.parametrize("matrix", ["bt601", "bt709", "bt2020", "smpte240m"])
@pytest.mark.parametrize("full_range", [False, True])
def test_round_trip(matrix, full_range):
    planes = _planes()
    back = rgb_to_planes(planes_to_rgb(planes, matrix, full_range), matrix, full_range)
    assert min(_psnr(getattr(back, name), getattr(planes, name)) for name in "yuv") > 72
    assert abs(back.y.astype(float).mean() - planes.y.mean()) < 0.05  # not systematically darker


def _planes_of(pixel_format, height=58, width=106, seed=0):
    rng = np.random.default_rng(seed)
    form = av.VideoFormat(pixel_format, width, height)
    bits = form.components[0].bits
    levels = [(120, 70), (128, 30), (128, 30)]
    made = []
    for component, (mean, spread) in zip(form.components, levels, strict=True):
        plane = cv2.GaussianBlur(rng.normal(0, 1, (component.height, component.width)).astype(np.float32), (0, 0), 2)
        values = np.rint((mean + spread * plane / np.abs(plane).max()) * (1 << bits - 8))
        made.append(values.astype(np.uint8 if bits == 8 else np.uint16))
    return Planes(*made)


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("pixel_format", ["yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p12le"])
def test_round_trip_of_other_formats(pixel_format, full_range):
    """8 bit samples come back as they were; of more bits RGB of 8 bits keeps only so much."""
    planes = _planes_of(pixel_format)
    back = rgb_to_planes(planes_to_rgb(planes, "bt709", full_range, pixel_format), "bt709", full_range, pixel_format)
    bits = av.VideoFormat(pixel_format).components[0].bits
    for name in "yuv":
        old, new = getattr(planes, name), getattr(back, name)
        assert new.dtype == old.dtype and new.shape == old.shape
        assert _psnr(new / (1 << bits - 8), old / (1 << bits - 8)) > (72 if bits == 8 else 52)


def test_each_field_of_an_interlaced_frame_has_chroma_of_its_own():
    frame = _planes(56)
    frame.interlaced = True
    fields = [planes_to_rgb(Planes(frame.y[p::2], frame.u[p::2], frame.v[p::2]), "bt601", False) for p in (0, 1)]
    rgb = planes_to_rgb(frame, "bt601", False)
    assert all(np.array_equal(rgb[p::2], field) for p, field in enumerate(fields))
    back = rgb_to_planes(rgb, "bt601", False, interlaced=True)
    assert back.interlaced and min(_psnr(getattr(back, name), getattr(frame, name)) for name in "yuv") > 72


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le", "yuv422p10le"])
def test_conversion_is_that_of_decoded_frames(pixel_format, moving):
    for parameters in ("weightp=0", "tff=1:weightp=0", "colormatrix=bt709:fullrange=on"):
        stream = encode_h264(moving(1, 48, 64), options={"x264-params": parameters}, pix_fmt=pixel_format)
        player = av.CodecContext.create("h264", "r")
        player.thread_count = 1
        (frame,) = player.decode(av.Packet(stream)) + player.decode(None)
        planes = planes_from_frame(frame)
        assert planes.interlaced == ("tff" in parameters)
        shown = planes_to_rgb(planes, *colour_of(frame), pixel_format)
        assert np.array_equal(shown, frame.to_ndarray(format="rgb24"))


@pytest.mark.parametrize(("pixel_format", "shift"), [("gbrp", 0), ("gbrp10le", 2)])
def test_samples_that_are_rgb_themselves(pixel_format, shift):
    rgb = np.random.default_rng(0).integers(0, 256, (6, 10, 3)).astype(np.uint8)
    planes = rgb_to_planes(rgb, "gbr", True, pixel_format)
    assert np.array_equal(planes.y, rgb[..., 1].astype(planes.y.dtype) << shift)
    assert np.array_equal(planes_to_rgb(planes, "gbr", True, pixel_format), rgb)


def test_formats_of_frames():
    for name, expected in {"yuvj422p": "yuv422p", "gbrp": "gbrp", "yuv420p10le": "yuv420p10le"}.items():
        assert pixel_format_of(av.VideoFrame(16, 16, name)) == expected
    for name in ("nv12", "gray", "rgb24", "yuva420p"):
        assert pixel_format_of(av.VideoFrame(16, 16, name)) is None
    assert colour_of(av.VideoFrame(16, 16, "gbrp"))[0] == "gbr"


def test_frame_to_planes_and_colour():
    planes = _planes()
    frame = av.VideoFrame.from_ndarray(np.zeros((58 * 3 // 2, 106), np.uint8), format="yuv420p")
    assert colour_of(frame) == ("bt601", False)
    for plane, samples in zip(frame.planes, (planes.y, planes.u, planes.v), strict=True):
        lines = np.full((samples.shape[0], plane.line_size), 99, np.uint8)
        lines[:, : samples.shape[1]] = samples
        plane.update(lines.tobytes())
    frame.colorspace, frame.color_range = 1, 2
    assert colour_of(frame) == ("bt709", True)
    taken = planes_from_frame(frame)
    for name in "yuv":
        assert np.array_equal(getattr(taken, name), getattr(planes, name))
    assert np.array_equal(frame.to_ndarray(format="rgb24"), planes_to_rgb(planes, "bt709", True))
    with pytest.raises(ValueError, match="rgb24"):
        planes_from_frame(av.VideoFrame(16, 16, "rgb24"))


def test_merge_takes_whole_macroblocks_and_edits_nothing():
    decoded, restored = _planes(seed=1), _planes(seed=2)
    kept = [plane.copy() for plane in (decoded.y, decoded.u, restored.y)]
    macroblocks = np.zeros((4, 7), bool)
    macroblocks[1, 2] = macroblocks[3, 6] = True
    merged = merge_planes(decoded, restored, macroblocks)
    assert np.array_equal(merged.y[16:32, 32:48], restored.y[16:32, 32:48])
    assert np.array_equal(merged.u[8:16, 16:24], restored.u[8:16, 16:24])
    assert np.array_equal(merged.v[24:, 48:], restored.v[24:, 48:])
    outside = ~macroblocks.repeat(16, 0).repeat(16, 1)[:58, :106]
    assert np.array_equal(merged.y[outside], decoded.y[outside])
    half = ~macroblocks.repeat(8, 0).repeat(8, 1)[:29, :53]
    assert np.array_equal(merged.u[half], decoded.u[half]) and np.array_equal(merged.v[half], decoded.v[half])
    merged.y[:] = 0
    for before, after in zip(kept, (decoded.y, decoded.u, restored.y), strict=True):
        assert np.array_equal(before, after)


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv444p10le"])
def test_merge_of_what_is_shown_into_what_is_coded(pixel_format):
    """A picture of 64x112 of which 50x100 are shown, from row 4 and column 6 on."""
    decoded = _planes_of(pixel_format, 64, 112, seed=1)
    restored = _planes_of(pixel_format, 50, 100, seed=2)
    macroblocks = np.zeros((4, 7), bool)
    macroblocks[0, 0] = macroblocks[3, 6] = True
    merged = merge_planes(decoded, restored, macroblocks, (4, 6))
    assert np.array_equal(merged.y[4:16, 6:16], restored.y[:12, :10])
    assert (merged.y[:4, 6:16] == restored.y[0, :10]).all() and (merged.y[4:16, :6] == restored.y[:12, :1]).all()
    assert (merged.y[54:, 106:] == restored.y[-1, -1]).all() and (merged.y[48:54, 106:] == restored.y[44:50, -1:]).all()
    assert np.array_equal(merged.y[16:48], decoded.y[16:48]) and merged.u.shape == decoded.u.shape
    down, across = 64 // decoded.u.shape[0], 112 // decoded.u.shape[1]
    assert np.array_equal(merged.u[16 // down : 48 // down], decoded.u[16 // down : 48 // down])
    assert np.array_equal(merged.v[4 // down : 16 // down, 6 // across : 16 // across],
                          restored.v[: 12 // down, : 10 // across])  # fmt: skip


def test_grown_planes_repeat_their_edges():
    grown = grow_planes(_planes(), (64, 112))
    assert grown.y.shape == (64, 112) and grown.u.shape == (32, 56)
    assert (grown.y[58:, :106] == grown.y[57, :106]).all() and (grown.v[:, 53:] == grown.v[:, 52:53]).all()


def test_wrong_arguments():
    with pytest.raises(ValueError, match="uint8"):
        rgb_to_planes(np.zeros((16, 16, 3), np.float32), "bt601", False)
    with pytest.raises(ValueError, match="bt601"):
        rgb_to_planes(np.zeros((16, 16, 3), np.uint8), "xyz", False)
    with pytest.raises(ValueError, match="belong together"):
        merge_planes(_planes(), _planes(), np.zeros((3, 7), bool))
