"""Samples of a picture: the decoder's 4:2:0 planes, RGB into planes, and planes put together macroblock by macroblock."""

from __future__ import annotations

import av
import numpy as np

from b2scvr.types import MB_SIZE, Planes

# Luma weights (K_R, K_B) by matrix, H.264 table E-5.
_WEIGHTS = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020": (0.2627, 0.0593),
    "smpte240m": (0.212, 0.087),
    "fcc": (0.30, 0.11),
}
# matrix_coefficients (H.264 table E-5, the numbers of AVColorSpace) -> matrix.
_MATRICES = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
_LIMITED_RANGE, _FULL_RANGE = 1, 2  # AVCOL_RANGE_MPEG, AVCOL_RANGE_JPEG
# What libswscale's rounding takes from R, G and B on average (measured; 8 bit levels).
_ROUNDED_DOWN = np.array([1.0, 1.5, 1.0], np.float32)
_ROUNDED_DOWN_FULL = np.array([0.5, 1.0, 0.5], np.float32)
_CORRECTIONS = 2
_FORMATS = ("yuv420p", "yuvj420p")


def colour_of(frame: av.VideoFrame) -> tuple[str, bool]:
    """Return the matrix between a decoded frame's samples and RGB, and whether they use the full range.

    What the stream leaves unspecified is BT.601 and limited range, as libswscale takes it.
    """
    full_range = frame.format.name.startswith("yuvj") or int(frame.color_range) == _FULL_RANGE
    return _MATRICES.get(int(frame.colorspace), "bt601"), full_range


def planes_from_frame(frame: av.VideoFrame) -> Planes:
    """Return a copy of the samples of a decoded 8 bit 4:2:0 frame, without the padding of its lines.

    Raises ValueError for another pixel format.
    """
    if frame.format.name not in _FORMATS:
        raise ValueError(f"planes_from_frame: expected yuv420p, got {frame.format.name}")
    height, width = frame.height, frame.width
    half = (-(-height // 2), -(-width // 2))
    sizes = ((height, width), half, half)
    y, u, v = (
        np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[:rows, :columns].copy()
        for plane, (rows, columns) in zip(frame.planes, sizes, strict=True)
    )
    return Planes(y, u, v)


def planes_to_rgb(planes: Planes, matrix: str, full_range: bool) -> np.ndarray:
    """Return the picture as RGB, uint8 [H, W, 3], by the same conversion (libswscale's) as `ParsedClip.frames`.

    Raises ValueError for an unknown matrix.
    """
    _weights(matrix)
    height, width = planes.y.shape
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane, samples in zip(frame.planes, (planes.y, planes.u, planes.v), strict=True):
        lines = np.zeros((plane.buffer_size // plane.line_size, plane.line_size), np.uint8)
        lines[: samples.shape[0], : samples.shape[1]] = samples
        plane.update(lines.tobytes())
    frame.colorspace = next(number for number, name in _MATRICES.items() if name == matrix)
    frame.color_range = _FULL_RANGE if full_range else _LIMITED_RANGE
    return frame.to_ndarray(format="rgb24")


def rgb_to_planes(rgb: np.ndarray, matrix: str, full_range: bool) -> Planes:
    """Return the 4:2:0 samples whose conversion to RGB comes nearest to `rgb`, uint8 [H, W, 3].

    The inverse of `planes_to_rgb`, not of the equations alone (H.264 E-16 to E-18, E-22 to E-24): libswscale gives the 2x2
    pixels of a chroma sample the same chroma and rounds down, so that the equations alone come out one level too dark
    (47 dB in luma on video; 67 dB and more this way). A chroma sample is the mean of its 2x2 pixels, the edge repeated for
    an odd size; luma takes up what the conversion back then misses. Raises ValueError for an unknown matrix or another array.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"rgb_to_planes: expected uint8 [H, W, 3], got {rgb.dtype} {list(rgb.shape)}")
    red_weight, blue_weight = _weights(matrix)
    luma_weights = np.array([red_weight, 1 - red_weight - blue_weight, blue_weight], np.float32)
    luma_scale, chroma_scale, offset = (1.0, 1.0, 0) if full_range else (219 / 255, 224 / 255, 16)
    pixels = rgb.astype(np.float32)
    quarter = _mean_2x2(pixels) + (_ROUNDED_DOWN_FULL if full_range else _ROUNDED_DOWN)
    quarter_luma = quarter @ luma_weights
    blue = (quarter[..., 2] - quarter_luma) * (0.5 * chroma_scale / (1 - blue_weight)) + 128
    red = (quarter[..., 0] - quarter_luma) * (0.5 * chroma_scale / (1 - red_weight)) + 128
    luma = pixels @ luma_weights
    planes = Planes(_to_bytes(luma * luma_scale + offset), _to_bytes(blue), _to_bytes(red))
    for _ in range(_CORRECTIONS):
        missed = luma - planes_to_rgb(planes, matrix, full_range) @ luma_weights
        planes.y = _to_bytes(planes.y + missed * luma_scale)
    return planes


def merge_planes(decoded: Planes, restored: Planes, macroblocks: np.ndarray) -> Planes:
    """Return new planes: macroblocks that are True in `macroblocks`, bool [h, w], from `restored`, others from `decoded`.

    Raises ValueError when the sizes do not belong together.
    """
    height, width = decoded.y.shape
    expected = (-(-height // MB_SIZE), -(-width // MB_SIZE))
    if macroblocks.shape != expected or restored.y.shape != decoded.y.shape:
        raise ValueError(
            f"merge_planes: {list(decoded.y.shape)} decoded, {list(restored.y.shape)} restored samples and "
            f"{list(macroblocks.shape)} macroblocks do not belong together"
        )
    chosen = macroblocks.astype(bool)
    merged = (
        np.where(_enlarge(chosen, side, old.shape), new, old)
        for old, new, side in (
            (decoded.y, restored.y, MB_SIZE),
            (decoded.u, restored.u, MB_SIZE // 2),
            (decoded.v, restored.v, MB_SIZE // 2),
        )
    )
    return Planes(*merged)


def _weights(matrix: str) -> tuple[float, float]:
    if matrix not in _WEIGHTS:
        raise ValueError(f"unknown colour matrix {matrix!r}; known are {', '.join(_WEIGHTS)}")
    return _WEIGHTS[matrix]


def _mean_2x2(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    if height % 2 or width % 2:
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return (pixels[::2, ::2] + pixels[::2, 1::2] + pixels[1::2, ::2] + pixels[1::2, 1::2]) / 4


def _to_bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _enlarge(macroblocks: np.ndarray, side: int, shape: tuple[int, ...]) -> np.ndarray:
    return macroblocks.repeat(side, 0).repeat(side, 1)[: shape[0], : shape[1]]
