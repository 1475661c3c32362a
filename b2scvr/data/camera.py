"""A virtual camera over footage: a window that pans and zooms along a smooth path, resampled to pictures of one size."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

CONTROLS = (4, 7)  # control points of a path, both ends included; four make one cubic piece
KINDS = ("pan", "zoom", "both")
NOMINAL_BLUR_PX = 0.5  # standard deviation of a picture's own blur (Lowe, IJCV 2004, section 3.3)
# Uniform cubic B-spline: weights of four control points by the powers of u in [0, 1) (de Boor 1978), times 6.
_BASIS = np.array([[1, 4, 1, 0], [-3, 0, 3, 0], [3, -6, 3, 0], [-1, 3, -3, 1]], np.float64) / 6


@dataclass(frozen=True)
class CameraPath:
    """A window that moves: control points of a uniform cubic B-spline, evenly spaced in time.

    The spline is twice continuously differentiable and lies in the convex hull of its control points: where all of those
    are windows inside a picture, so are all windows between them.
    """

    controls: tuple[tuple[float, float, float], ...]  # left, top, width in source pixels
    aspect: float  # height of the window / its width

    def windows(self, count: int) -> np.ndarray:
        """Return the windows of `count` pictures, float64 [count, 4]: left, top, width, height in source pixels."""
        points = np.array(self.controls, np.float64)
        pieces = len(points) - len(_BASIS) + 1
        time = np.linspace(0, pieces, count)
        piece = np.minimum(time.astype(int), pieces - 1)
        powers = (time - piece)[:, None] ** np.arange(len(_BASIS))
        nearby = points[piece[:, None] + np.arange(len(_BASIS))]
        path = np.einsum("tk,tkc->tc", powers @ _BASIS, nearby)
        return np.concatenate((path, path[:, 2:] * self.aspect), axis=1)


def draw_path(
    rng: np.random.Generator, source: tuple[int, int], size: tuple[int, int], max_enlargement: float
) -> CameraPath:
    """Draw a path of windows with the aspect ratio of `size` inside pictures of `source`, both (width, height) in pixels.

    A third of the paths only pan, a third only zoom about one place, the others do both. max_enlargement: pixels of `size`
    per source pixel at most, as far as the source is large enough.
    """
    aspect = size[1] / size[0]
    widest = min(source[0], source[1] / aspect)
    narrowest = min(widest, size[0] / max_enlargement)
    kind = str(rng.choice(KINDS))
    count = int(rng.integers(CONTROLS[0], CONTROLS[1] + 1))
    widths = rng.uniform(narrowest, widest, count)
    places = rng.random((count, 2))  # 0 = at the left or upper edge, 1 = at the other one
    if kind == "pan":
        widths[:] = rng.uniform(narrowest, narrowest + (widest - narrowest) / 2)
    if kind == "zoom":
        places[:] = places[0]
    room = np.stack((source[0] - widths, source[1] - widths * aspect), axis=1)
    corners = places * np.maximum(room, 0)
    return CameraPath(tuple((float(x), float(y), float(w)) for (x, y), w in zip(corners, widths, strict=True)), aspect)


def film(frames: np.ndarray, windows: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return what the windows show, uint8 [T, height, width, 3] for a `size` of (width, height).

    frames: uint8 [T, H, W, 3]; windows: [T, 4], left, top, width, height in pixels, at any fraction of one. Bicubic; where
    the window is larger than `size`, the picture is blurred before, so that nothing finer than its pixels is left.
    """
    shown = np.empty((len(frames), size[1], size[0], 3), np.uint8)
    for number, (frame, (left, top, width, height)) in enumerate(zip(frames, windows, strict=True)):
        across, down = width / size[0], height / size[1]
        # The centre of pixel 0 lies half a pixel from the edge, in the picture as in the window.
        inverse = np.array([[across, 0, left + (across - 1) / 2], [0, down, top + (down - 1) / 2]])
        shown[number] = cv2.warpAffine(
            _without_fine_detail(frame, across),
            inverse,
            size,
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
    return shown


def _without_fine_detail(frame: np.ndarray, shrinking: float) -> np.ndarray:
    """Blur a picture uint8 [H, W, 3] as far as it is blurred by nature when it is made `shrinking` times smaller."""
    if shrinking <= 1:
        return np.ascontiguousarray(frame)
    sigma = NOMINAL_BLUR_PX * float(np.sqrt(shrinking**2 - 1))
    return cv2.GaussianBlur(np.ascontiguousarray(frame), (0, 0), sigma)
