"""Codec evidence of one picture as one tensor on the macroblock grid, in fixed units, for networks."""

from __future__ import annotations

import numpy as np

from b2scvr.types import ParsedClip, PredictionMode

VECTOR_UNIT_PX = 16.0  # a vector of one macroblock becomes 1.0
QP_MAX = 51.0  # H.264 7.4.2.2, 8-bit luma

CHANNELS: tuple[str, ...] = (
    *(f"mode_{mode.name.lower()}" for mode in PredictionMode),
    "qp",
    "concealed",
    "damage_trace",
    "slice_start",
    "past_x",
    "past_y",
    "past_valid",
    "future_x",
    "future_y",
    "future_valid",
    "broken",
)
GROUPS: dict[str, tuple[str, ...]] = {
    "mode": tuple(name for name in CHANNELS if name.startswith("mode_")),
    "qp": ("qp",),
    "concealed": ("concealed", "slice_start", "broken"),
    "trace": ("damage_trace",),
    "mv": ("past_x", "past_y", "past_valid", "future_x", "future_y", "future_valid"),
}


def channel_indices(groups: tuple[str, ...]) -> list[int]:
    """Return the positions in CHANNELS of the evidence `groups` (keys of GROUPS); ValueError names an unknown one."""
    unknown = set(groups) - set(GROUPS)
    if unknown:
        raise ValueError(f"unknown evidence {sorted(unknown)}; known: {sorted(GROUPS)}")
    return [CHANNELS.index(name) for group in groups for name in GROUPS[group]]


def picture_evidence(clip: ParsedClip, index: int, broken: bool) -> np.ndarray:
    """Return float32 [C, h, w], C = len(CHANNELS), the evidence of picture `index` of `clip`.

    A concealed macroblock has no QP: what libavcodec tells of it is left over from an earlier picture.
    """
    rows, columns = clip.mode.shape[1:]
    out = np.zeros((len(CHANNELS), rows, columns), np.float32)
    modes = len(PredictionMode)
    out[:modes] = clip.mode[index][None] == np.arange(modes, dtype=np.uint8)[:, None, None]
    past, past_valid = _pool_vectors(clip.mv_past[index], clip.mv_past_valid[index], rows, columns)
    future, future_valid = _pool_vectors(clip.mv_future[index], clip.mv_future_valid[index], rows, columns)
    out[modes:] = np.stack(
        [
            np.where(clip.concealed[index], 0, np.maximum(clip.qp[index], 0)) / QP_MAX,
            clip.concealed[index],
            clip.damage_trace[index],
            clip.slice_start[index],
            *past.transpose(2, 0, 1),
            past_valid,
            *future.transpose(2, 0, 1),
            future_valid,
            np.full((rows, columns), broken),
        ]
    )
    return out


def _pool_vectors(mv: np.ndarray, valid: np.ndarray, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Average the valid 8x8 vectors of each macroblock: [2h, 2w, 2], [2h, 2w] -> [h, w, 2] in macroblocks, [h, w] in [0, 1]."""
    pad = ((0, 2 * rows - mv.shape[0]), (0, 2 * columns - mv.shape[1]))
    weight = np.pad(valid, pad).astype(np.float32).reshape(rows, 2, columns, 2)
    vectors = np.pad(mv, (*pad, (0, 0))).reshape(rows, 2, columns, 2, 2)
    count = weight.sum(axis=(1, 3))
    mean = (vectors * weight[..., None]).sum(axis=(1, 3)) / np.maximum(count, 1)[..., None]
    return mean / VECTOR_UNIT_PX, count / 4
