"""A whole damaged clip with its truth, from which windows of pictures are drawn in training, and its file.

The file is a structured record as in data.sample, mapped into memory: of a window, only its own box is read.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from b2scvr.data.sample import write_record
from b2scvr.fill.codec_flow import codec_flow
from b2scvr.ops.masks import damage_mask
from b2scvr.types import MV_BLOCK, ParsedClip


@dataclass
class ClipSample:
    """T pictures in display order; r, c rows and columns of 8x8 blocks."""

    damaged: np.ndarray  # uint8 [T, H, W, 3], as decoded
    clean: np.ndarray  # uint8 [T, H, W, 3], the truth
    visible: np.ndarray  # uint8 [T, H, W], 1 = visibly damaged
    vectors: np.ndarray  # float16 [2, T - 1, 3, r, c], see fill.codec_flow

    def __post_init__(self) -> None:
        """Raise ValueError, with both shapes, when they do not belong together."""
        count, height, width = self.damaged.shape[:3]
        grid = (-(-height // MV_BLOCK), -(-width // MV_BLOCK))
        wanted = {"clean": (count, height, width, 3), "visible": (count, height, width)}
        wanted["vectors"] = (2, count - 1, 3, *grid)
        for name, shape in wanted.items():
            found = getattr(self, name).shape
            if found != shape:
                raise ValueError(f"{name} is {list(found)}, damaged {list(self.damaged.shape)} asks for {list(shape)}")


def clip_sample(damaged: ParsedClip, clean: np.ndarray) -> ClipSample:
    """Return the sample of a parsed damaged clip whose true pictures are `clean`, uint8 [T, H, W, 3]."""
    if damaged.frames.shape != clean.shape:
        raise ValueError(f"clean pictures {list(clean.shape)} for damaged ones {list(damaged.frames.shape)}")
    visible = np.stack([damage_mask(seen, true) for seen, true in zip(damaged.frames, clean, strict=True)])
    return ClipSample(damaged.frames, clean, visible, codec_flow(damaged, 0, len(damaged)).astype(np.float16))


def save_clip(path: Path, sample: ClipSample) -> int:
    """Write `sample` to `path` in one piece and return the bytes written."""
    return write_record(path, {f.name: getattr(sample, f.name) for f in fields(sample)})
