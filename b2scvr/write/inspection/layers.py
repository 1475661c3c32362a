"""The layers by name, and one picture with one of them and its legend."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from b2scvr.bitstream.describe import absent_evidence, type_name
from b2scvr.types import AccessUnitStatus, ParsedClip
from b2scvr.write.inspection.canvas import Drawing, drawing_scale, outline
from b2scvr.write.inspection.legend import with_legend
from b2scvr.write.inspection.maps import draw_concealment, draw_noticed, draw_qp, draw_trace
from b2scvr.write.inspection.modes import draw_modes
from b2scvr.write.inspection.palette import CONCEALED
from b2scvr.write.inspection.slices import draw_slices
from b2scvr.write.inspection.vectors import draw_vectors

LAYERS: dict[str, tuple[str, Callable[[ParsedClip, int, float], Drawing]]] = {  # name -> (evidence, how it is drawn)
    "vectors": ("vectors", draw_vectors),
    "modes": ("mode", draw_modes),
    "qp": ("qp", draw_qp),
    "concealment": ("concealed", draw_concealment),
    "trace": ("damage_trace", draw_trace),
    "noticed": ("noticed", draw_noticed),
    "slices": ("slices", draw_slices),
}
TITLES = {
    "vectors": "motion vectors",
    "modes": "macroblock modes",
    "qp": "quantisation parameter",
    "concealment": "concealment",
    "trace": "damage trace",
    "noticed": "errors that the entropy decoder noticed",
    "slices": "slices",
}
_LOST = "lost: this access unit gave no picture, the one before it is shown; nothing else is known of it"
_OF_SYNTAX = ("vectors", "modes", "qp")


def absent_layers(clip: ParsedClip) -> dict[str, str]:
    """Return the layers that no picture of the clip has, each with the reason."""
    absent = absent_evidence(clip)
    return {name: absent[evidence] for name, (evidence, _) in LAYERS.items() if evidence in absent}


def draw_layer(clip: ParsedClip, index: int, layer: str) -> np.ndarray:
    """Return picture `index` with `layer` (a key of LAYERS) and its legend, uint8 [H', W', 3] RGB.

    Small pictures are drawn larger, 4K ones smaller (see canvas.drawing_scale); all pictures of a clip come out at one
    size. Raises ValueError for an unknown layer, or one that the clip has no evidence for.
    """
    if layer not in LAYERS:
        raise ValueError(f"unknown layer {layer!r}; known: {', '.join(LAYERS)}")
    if reason := absent_layers(clip).get(layer):
        raise ValueError(f"{layer}: nothing to draw, {reason}")
    height, width = clip.frames.shape[1:3]
    scale = drawing_scale(height, width)
    drawing = LAYERS[layer][1](clip, index, scale)
    words = [drawing.words]
    if clip.lost[index]:
        words = [_LOST]
    elif layer in _OF_SYNTAX and clip.concealed[index].any():  # concealment writes syntax elements too
        outline(drawing.image, clip.concealed[index], height, width, scale, CONCEALED)
        words.append(f"the outlined {100 * clip.concealed[index].mean():.0f} % are invented by the decoder")
    return with_legend(drawing.image, _title(clip, index, layer), drawing.entries, "; ".join(filter(None, words)))


def _title(clip: ParsedClip, index: int, layer: str) -> str:
    status = AccessUnitStatus(int(clip.status[index])).name.lower()
    kind = type_name(clip.picture_type[index]) + (", key" if clip.is_key[index] else "")
    return f"Picture {index} (decoded as {clip.decode_index[index]}), {kind}, {status}: {TITLES[layer]}"
