"""Maps of one number or one yes a macroblock: QP, concealment, damage trace, where the entropy decoder noticed."""

from __future__ import annotations

import cv2
import numpy as np

from b2scvr.types import NOT_WHOLE, ParsedClip
from b2scvr.write.inspection.canvas import Drawing, backdrop, blend, enlarge, macroblock_side, outline, spread
from b2scvr.write.inspection.legend import SWATCH, Entry, filled, scale_bar
from b2scvr.write.inspection.palette import CONCEALED, NOTICED, TRACED, heat
from b2scvr.write.overlay import overlay_mask

GREYS, DARK = (40, 235), (10, 120)  # of the backdrops
QP_MAX = 51  # H.264 7.4.2.2, 8-bit luma
QP_OPACITY, TRACE_OPACITY = 0.65, 0.85
_BAR_PX = 160


def draw_qp(clip: ParsedClip, index: int, scale: float) -> Drawing:
    """Draw the QP of picture `index`; the scale is that of the clip, but for the wild values behind an error."""
    qp, known = clip.qp[index].astype(np.float32), clip.qp[index] >= 0
    low, high = qp_range(clip)
    height, width = _size(clip)
    colours = heat((qp - low) / max(1, high - low))
    opacity = QP_OPACITY * spread(known.astype(np.float32), height, width, scale)
    image = blend(backdrop(clip.frames[index], scale, *GREYS), spread(colours, height, width, scale), opacity)
    bar = Entry(f"{high} and more", scale_bar(heat(np.linspace(0, 1, _BAR_PX))), before=f"QP {low} and less")
    if not known.any():
        return Drawing(image, [bar], "no QP is known of this picture")
    told = qp[known]
    words = f"QP {told.min():.0f} to {told.max():.0f}, median {np.median(told):.0f}; low is fine, high is coarse"
    return Drawing(image, [bar], words)


def qp_range(clip: ParsedClip) -> tuple[int, int]:
    """Return the lowest and highest QP of a clip's pictures that lost no bits, the rarest percent on either side left out."""
    sound = clip.qp[~np.isin(clip.status, NOT_WHOLE)]
    known = sound[sound >= 0] if (sound >= 0).any() else clip.qp[clip.qp >= 0]
    if not known.size:
        return 0, QP_MAX
    share = np.cumsum(np.bincount(known)) / known.size
    return int(np.searchsorted(share, 0.01)), int(np.searchsorted(share, 0.99))


def draw_concealment(clip: ParsedClip, index: int, scale: float) -> Drawing:
    """Draw the macroblocks of picture `index` that the decoder invented, on the picture as decoded."""
    concealed = clip.concealed[index]
    mask = spread(concealed, *_size(clip), scale)
    image = overlay_mask(enlarge(clip.frames[index], scale), mask)
    sample = overlay_mask(np.full((SWATCH, SWATCH, 3), 150, np.uint8), np.ones((SWATCH, SWATCH), bool))
    found = np.count_nonzero(concealed)
    words = f"{found} of {concealed.size} macroblocks ({_percent(concealed.mean())}) were invented by the decoder"
    if not found:
        words = "the decoder invented nothing in this picture"
    return Drawing(image, [Entry("invented by the decoder", sample)], words)


def draw_trace(clip: ParsedClip, index: int, scale: float) -> Drawing:
    """Draw the damage trace of picture `index`: the darker a colour, the more of the prediction comes from damage."""
    trace = clip.damage_trace[index]
    opacity = TRACE_OPACITY * spread(trace, *_size(clip), scale)
    grey = backdrop(clip.frames[index], scale, *GREYS)
    image = blend(grey, np.full_like(grey, TRACED), opacity)
    ramp = np.linspace(0, TRACE_OPACITY, _BAR_PX)[None]
    bar = blend(np.full((1, _BAR_PX, 3), 150, np.uint8), np.full((1, _BAR_PX, 3), TRACED, np.uint8), ramp)[0]
    entry = Entry("1: wholly from damage", scale_bar(bar), before="trace 0")
    words = f"mean {trace.mean():.2f}; {_percent((trace > 0.5).mean())} of the macroblocks above 0.5"
    if not trace.any():
        words = "no damage reaches this picture"
    return Drawing(image, [entry], words)


def draw_noticed(clip: ParsedClip, index: int, scale: float) -> Drawing:
    """Draw where the entropy decoder noticed an error in picture `index`, and the edge of what was concealed for it."""
    side = macroblock_side(scale)
    image = backdrop(clip.frames[index], scale, *DARK)
    outline(image, clip.concealed[index], *_size(clip), scale, CONCEALED)
    places = np.argwhere(clip.noticed[index])
    for row, column in places.tolist():
        corner = (column * side, row * side)
        cv2.rectangle(image, corner, (corner[0] + side - 1, corner[1] + side - 1), NOTICED, -1)
        cv2.circle(image, (corner[0] + side // 2, corner[1] + side // 2), 2 * side, NOTICED, 2, cv2.LINE_AA)
    entries = [Entry("error noticed here", filled(NOTICED)), Entry("edge of what was concealed", _edge_swatch())]
    if len(places):
        at = ", ".join(f"({column}, {row})" for row, column in places[:6].tolist())
        more = f" and {len(places) - 6} more" if len(places) > 6 else ""
        words = f"noticed at macroblock {at}{more} (column, row); the damage may begin before it"
    else:
        words = "the entropy decoder noticed no error in this picture"
    return Drawing(image, entries, words)


def _size(clip: ParsedClip) -> tuple[int, int]:
    return clip.frames.shape[1], clip.frames.shape[2]


def _edge_swatch() -> np.ndarray:
    swatch = np.full((SWATCH, SWATCH, 3), 60, np.uint8)
    cv2.rectangle(swatch, (3, 3), (SWATCH - 4, SWATCH - 4), CONCEALED, 2)
    return swatch


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share == 0 or share >= 0.1 else f"{100 * share:.1f} %"
