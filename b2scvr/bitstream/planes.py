"""Samples of a picture: the decoder's planes, RGB into planes, and planes put together macroblock by macroblock."""

from __future__ import annotations

from fractions import Fraction

import av
import av.filter
import numpy as np

from b2scvr.types import MB_SIZE, Planes

PLANES = 3
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
_FILTER_NAMES = {"bt601": "smpte170m", "bt2020": "bt2020nc"}  # of matrices that the filter setparams calls otherwise
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
RGB = "gbr"  # the samples are G, B and R themselves (matrix_coefficients 0)
_CORRECTIONS = 4


def colour_of(frame: av.VideoFrame) -> tuple[str, bool]:
    """Return the matrix between a decoded frame's samples and RGB, and whether they use the full range.

    What the stream leaves unspecified is BT.601 and limited range, as libswscale takes it.
    """
    full_range = frame.format.name.startswith("yuvj") or int(frame.color_range) == _FULL_RANGE
    return RGB if frame.format.is_rgb else _MATRICES.get(int(frame.colorspace), "bt601"), full_range


def pixel_format_of(frame: av.VideoFrame) -> str | None:
    """Return FFmpeg's name of a frame's format, its colour range left out; None unless its samples are three planes."""
    components = frame.format.components
    if not len(components) == len({component.plane for component in components}) == PLANES:
        return None
    return frame.format.name.replace("yuvj", "yuv")


def planes_from_frame(frame: av.VideoFrame) -> Planes:
    """Return a copy of the samples of a decoded frame, without the padding of its lines. Monochrome H.264 is decoded into
    4:2:0 with chroma of no colour.

    Raises ValueError for a pixel format other than three planes.
    """
    if pixel_format_of(frame) is None:
        raise ValueError(f"planes_from_frame: expected three planes, got {frame.format.name}")
    kind = _sample_type(frame.format)
    largest = kind.type((1 << frame.format.components[0].bits) - 1)  # concealment of high bit depths writes larger ones
    y, u, v = (
        np.minimum(
            np.frombuffer(memoryview(plane), kind).reshape(-1, plane.line_size // kind.itemsize)[
                : plane.height, : plane.width
            ],
            largest,
        )
        for plane in frame.planes
    )
    return Planes(y, u, v, frame.interlaced_frame)


def planes_to_rgb(planes: Planes, matrix: str, full_range: bool, pixel_format: str = "yuv420p") -> np.ndarray:
    """Return the picture as RGB, uint8 [H, W, 3], by the same conversion (libswscale's) as `ParsedClip.frames`.

    pixel_format: FFmpeg's name. Chroma is taken to lie where it does unless a stream says otherwise (chroma_loc_info,
    H.264 E.2.1). Raises ValueError for an unknown matrix.
    """
    if matrix != RGB:
        _weights(matrix)
    height, width = planes.y.shape
    frame = av.VideoFrame(width, height, pixel_format)
    kind = _sample_type(frame.format)
    for plane, samples in zip(frame.planes, (planes.y, planes.u, planes.v), strict=True):
        lines = np.zeros((plane.buffer_size // plane.line_size, plane.line_size // kind.itemsize), kind)
        lines[: samples.shape[0], : samples.shape[1]] = samples
        plane.update(lines.tobytes())
    graph = av.filter.Graph()  # the only way to say where chroma lies, and that a frame is two fields
    source = graph.add_buffer(width=width, height=height, format=frame.format, time_base=Fraction(1))
    settings = f"colorspace={_FILTER_NAMES.get(matrix, matrix)}:range={'pc' if full_range else 'tv'}"
    settings += f":chroma_location=left:field_mode={'tff' if planes.interlaced else 'prog'}"
    told, sink = graph.add("setparams", settings), graph.add("buffersink")
    source.link_to(told)
    told.link_to(sink)
    graph.configure()
    graph.push(frame)
    shown = graph.pull()
    assert isinstance(shown, av.VideoFrame)
    return shown.to_ndarray(format="rgb24")


def rgb_to_planes(
    rgb: np.ndarray, matrix: str, full_range: bool, pixel_format: str = "yuv420p", interlaced: bool = False
) -> Planes:
    """Return the samples whose conversion to RGB comes nearest to `rgb`, uint8 [H, W, 3].

    pixel_format: FFmpeg's name; above 8 bits the samples are uint16. interlaced: see Planes. A chroma sample is the mean of
    its pixels, the edge repeated for an odd size. That is the inverse of `planes_to_rgb`, not of the equations alone (H.264
    E-16 to E-18, E-22 to E-24): libswscale gives all pixels of a chroma sample the same chroma and rounds down, so that the
    equations alone come out one level too dark (47 dB in luma on video). So what the conversion back misses is added, a few
    times: planes of 8 bits come back from their own RGB at 72 dB or more. Raises ValueError for an unknown matrix or
    another array.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"rgb_to_planes: expected uint8 [H, W, 3], got {rgb.dtype} {list(rgb.shape)}")
    form = av.VideoFormat(pixel_format, MB_SIZE, MB_SIZE)
    if matrix == RGB:
        shift = form.components[0].bits - 8
        red, green, blue = (rgb[..., channel].astype(_sample_type(form)) << shift for channel in range(3))
        return Planes(green, blue, red, interlaced)
    colours = _Colours(matrix, full_range, form, interlaced)
    wanted = colours.planes_of(rgb.astype(np.float32))
    exact = [plane + offset for plane, offset in zip(wanted, colours.offsets, strict=True)]
    planes = colours.rounded(exact)
    for _ in range(_CORRECTIONS):
        missed = rgb.astype(np.float32) - planes_to_rgb(planes, matrix, full_range, pixel_format)
        if not missed.any():
            break
        exact = [plane + change for plane, change in zip(exact, colours.planes_of(missed), strict=True)]
        planes = colours.rounded(exact)
    return planes


def grow_planes(planes: Planes, size: tuple[int, int], corner: tuple[int, int] = (0, 0)) -> Planes:
    """Return a larger picture, its edges repeated: `size` (H, W) and `corner` (row, column of `planes` in it) in luma samples."""
    grown = []
    scale = chroma_scale(planes)
    for plane, (down, across) in zip((planes.y, planes.u, planes.v), ((1, 1), scale, scale), strict=True):
        before = corner[0] // down, corner[1] // across
        full = -(-size[0] // down), -(-size[1] // across)
        widths = [(first, side - first - shown) for first, side, shown in zip(before, full, plane.shape, strict=True)]
        grown.append(np.pad(plane, widths, mode="edge"))
    return Planes(grown[0], grown[1], grown[2], planes.interlaced)


def chroma_scale(planes: Planes) -> tuple[int, int]:
    """Return how many luma samples there are for one of chroma, down and across."""
    return -(-planes.y.shape[0] // planes.u.shape[0]), -(-planes.y.shape[1] // planes.u.shape[1])


def merge_planes(
    decoded: Planes, restored: Planes, macroblocks: np.ndarray, corner: tuple[int, int] = (0, 0)
) -> Planes:
    """Return new planes of the size of `decoded`: macroblocks that are True in `macroblocks` from `restored`, others kept.

    restored: of the same size, or what is shown of it; corner: where that begins in `decoded`, (row, column) in luma
    samples; its edges are repeated into what is not shown. macroblocks: bool [h, w] from the first row and column of
    `decoded` on; what it leaves out goes with its last row and column. Raises ValueError when sizes do not belong together.
    """
    height, width = decoded.y.shape
    shown = restored.y.shape
    fits = corner[0] + shown[0] <= height and corner[1] + shown[1] <= width
    if not fits or macroblocks.shape != (-(-shown[0] // MB_SIZE), -(-shown[1] // MB_SIZE)):
        raise ValueError(
            f"merge_planes: {list(decoded.y.shape)} decoded, {list(restored.y.shape)} restored samples and "
            f"{list(macroblocks.shape)} macroblocks do not belong together"
        )
    whole = grow_planes(restored, decoded.y.shape, corner)
    chosen = grow_grid(macroblocks.astype(bool), (-(-height // MB_SIZE), -(-width // MB_SIZE)))
    down, across = chroma_scale(decoded)
    sides = (MB_SIZE, MB_SIZE), (MB_SIZE // down, MB_SIZE // across), (MB_SIZE // down, MB_SIZE // across)
    pairs = zip((decoded.y, decoded.u, decoded.v), (whole.y, whole.u, whole.v), sides, strict=True)
    y, u, v = (np.where(_enlarge(chosen, side, old.shape), new, old) for old, new, side in pairs)
    return Planes(y, u, v, decoded.interlaced)


def grow_grid(macroblocks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a map [h, w] of macroblocks grown to `size` by repeating its last row and column."""
    return np.pad(macroblocks, [(0, full - shown) for full, shown in zip(size, macroblocks.shape, strict=True)], "edge")


class _Colours:
    """From differences of RGB to differences of samples, for one matrix, range and format."""

    def __init__(self, matrix: str, full_range: bool, form: av.VideoFormat, interlaced: bool) -> None:
        red, blue = _weights(matrix)
        self._luma = np.array([red, 1 - red - blue, blue], np.float32)
        self._scale = MB_SIZE // form.chroma_height(MB_SIZE), MB_SIZE // form.chroma_width(MB_SIZE)
        bits = form.components[0].bits
        unit, self._largest = float(1 << bits - 8), (1 << bits) - 1
        full = self._largest / 255
        luma_scale, chroma_scale = (full, full) if full_range else (219 * unit / 255, 224 * unit / 255)
        self._factors = luma_scale, 0.5 * chroma_scale / (1 - blue), 0.5 * chroma_scale / (1 - red)
        self.offsets = 0 if full_range else 16 * unit, 128 * unit, 128 * unit
        self._type, self._interlaced = _sample_type(form), interlaced

    def planes_of(self, rgb: np.ndarray) -> list[np.ndarray]:
        """Return luma, Cb and Cr of float32 [H, W, 3], less their offsets."""
        if self._interlaced:
            mean = _woven(_block_mean(rgb[::2], *self._scale), _block_mean(rgb[1::2], *self._scale))
        else:
            mean = _block_mean(rgb, *self._scale)
        mean_luma = mean @ self._luma
        parts = rgb @ self._luma, mean[..., 2] - mean_luma, mean[..., 0] - mean_luma
        return [part * factor for part, factor in zip(parts, self._factors, strict=True)]

    def rounded(self, planes: list[np.ndarray]) -> Planes:
        """Return the nearest samples."""
        y, u, v = (np.clip(np.rint(plane), 0, self._largest).astype(self._type) for plane in planes)
        return Planes(y, u, v, self._interlaced)


def _weights(matrix: str) -> tuple[float, float]:
    if matrix not in _WEIGHTS:
        raise ValueError(f"unknown colour matrix {matrix!r}; known are {', '.join([*_WEIGHTS, RGB])}")
    return _WEIGHTS[matrix]


def _sample_type(form: av.VideoFormat) -> np.dtype:
    return np.dtype(np.uint8 if form.components[0].bits == 8 else "<u2")


def _block_mean(pixels: np.ndarray, down: int, across: int) -> np.ndarray:
    height, width = pixels.shape[:2]
    if height % down or width % across:
        pixels = np.pad(pixels, ((0, -height % down), (0, -width % across), (0, 0)), mode="edge")
    parts = [pixels[row::down, column::across] for row in range(down) for column in range(across)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total / len(parts)


def _woven(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """Return the frame of two fields."""
    frame = np.empty((len(top) + len(bottom), *top.shape[1:]), top.dtype)
    frame[::2], frame[1::2] = top, bottom
    return frame


def _enlarge(macroblocks: np.ndarray, side: tuple[int, int], shape: tuple[int, ...]) -> np.ndarray:
    return macroblocks.repeat(side[0], 0).repeat(side[1], 1)[: shape[0], : shape[1]]
