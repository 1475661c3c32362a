"""What people would use instead, on the same streams: the decoder's other ways to conceal, and filling inside masks.

Filling in comes in two kinds: with the masks that a blind method found, and with the true ones, which nobody has.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from b2scvr.bitstream.reader import decode
from b2scvr.engine.twins import Twin
from b2scvr.fill.flow import optical_flow, warp
from b2scvr.ops.masks import at_pixels
from b2scvr.types import ParsedClip

INPAINT_RADIUS = 3  # pixels: of OpenCV's own examples
CELL = 8  # pixels on a side of the cells in which flow is carried into masks
TRACE_THRESHOLD = 0.5  # a macroblock's damage trace from which it counts as marked
# libavcodec's `ec`, whose default is guess_mvs+deblock; 0 leaves what could not be decoded as it is.
CONCEALMENTS = ("guess_mvs", "deblock", "favor_inter", "guess_mvs+deblock+favor_inter", "0")

Fill = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Recovered:
    """What a peer made of a twin."""

    peer: str
    frames: np.ndarray  # uint8 [T, H, W, 3]
    masks: np.ndarray  # uint8 [T, H, W]
    seconds: float


def inpaint(pictures: np.ndarray, masks: np.ndarray, method: int) -> np.ndarray:
    """Return pictures uint8 [T, H, W, 3] filled from around inside masks uint8 [T, H, W], each picture by itself.

    method: cv2.INPAINT_TELEA (Telea, Journal of Graphics Tools 9(1), 2004) or cv2.INPAINT_NS (Bertalmio et al., CVPR 2001).
    """
    out = pictures.copy()
    for slot in np.flatnonzero(masks.any(axis=(1, 2))):
        out[slot] = cv2.inpaint(pictures[slot], masks[slot], INPAINT_RADIUS, method)
    return out


def flow_copy(pictures: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Return pictures uint8 [T, H, W, 3] with masks uint8 [T, H, W] filled from the nearest picture without a mask.

    That picture is moved along the DIS flow from the damaged one to it; inside the mask, where the flow sees nothing
    true, it is carried on from outside. Without any picture that has no mask, pictures stay as they are.
    """
    out = pictures.copy()
    marked = masks.any(axis=(1, 2))
    intact = np.flatnonzero(~marked)
    for slot in np.flatnonzero(marked) if len(intact) else ():
        nearest = pictures[intact[np.abs(intact - slot).argmin()]]
        flow = _carried_inside(optical_flow(pictures[slot], nearest), masks[slot])
        out[slot] = np.where(masks[slot][..., None] > 0, warp(nearest, flow), pictures[slot])
    return out


def _carried_inside(flow: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return `flow` [H, W, 2] with what lies inside `mask` [H, W] continued from around it, in cells."""
    height, width = mask.shape
    grid = (-(-width // CELL), -(-height // CELL))
    unknown = (cv2.resize(mask.astype(np.float32), grid, interpolation=cv2.INTER_AREA) > 0).astype(np.uint8)
    cells = cv2.resize(flow, grid, interpolation=cv2.INTER_AREA)
    parts = [cv2.inpaint(np.ascontiguousarray(cells[..., axis]), unknown, 1, cv2.INPAINT_NS) for axis in (0, 1)]
    smooth = cv2.resize(np.stack(parts, axis=-1), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.where(mask[..., None] > 0, smooth, flow)


FILLS: dict[str, Fill] = {
    "telea": partial(inpaint, method=cv2.INPAINT_TELEA),
    "navier_stokes": partial(inpaint, method=cv2.INPAINT_NS),
    "flow_copy": flow_copy,
}
CONFIGS = ("constant_velocity", "vector_fill")  # peers that are configs of their own
PEERS = ("concealment", *FILLS, *CONFIGS)


def other_concealments(twin: Twin) -> Iterator[Recovered]:
    """Yield what the decoder's other kinds of concealment give, with the damage trace as the masks.

    Nothing where the twin has no bitstream.
    """
    for how in CONCEALMENTS if twin.coded.access_units else ():
        start = time.perf_counter()
        clip = decode(twin.coded.stream(), concealment=how).clip
        yield Recovered(f"ec={how}", clip.frames, trace_masks(clip), time.perf_counter() - start)


def filled(twin: Twin, peers: tuple[str, ...], masks: np.ndarray) -> Iterator[Recovered]:
    """Yield what the fills among `peers` make of the decoded pictures inside `masks`, uint8 [T, H, W]."""
    for name in peers:
        if name in FILLS:
            start = time.perf_counter()
            frames = FILLS[name](twin.coded.clip.frames, masks)
            yield Recovered(name, frames, masks, time.perf_counter() - start)


def trace_masks(clip: ParsedClip) -> np.ndarray:
    """Return the damage trace as masks, uint8 [T, H, W]: what the bitstream tells without any network."""
    height, width = clip.frames.shape[1:3]
    marked = (clip.damage_trace >= TRACE_THRESHOLD).astype(np.uint8)
    return at_pixels(marked, height, width)
