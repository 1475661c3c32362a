"""What runs the full network for the pipeline: on one broken picture, or on a whole clip with its masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import cv2
import numpy as np
import torch

from b2scvr.cfc.clip_restorer import ClipRestorer
from b2scvr.cfc.generator import RecoveryGenerator
from b2scvr.cfc.schedule import PictureRestorer
from b2scvr.cfc.splice_windows import SpliceRestorer
from b2scvr.fill.codec_flow import codec_flow
from b2scvr.fill.resize import resize_picture
from b2scvr.types import MV_BLOCK, ParsedClip

Progress = Callable[[str, int, int], None]  # stage, done, total


class GeneratorRestorer(PictureRestorer):
    """`restore` restores one picture among those around it (splice mode), `restore_clip` all of a clip (frames mode).

    schedule, channels_last, compiled, truncate: see ClipRestorer; the rest as PictureRestorer.
    """

    def __init__(
        self,
        network: RecoveryGenerator,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        schedule: str = "exact",
        channels_last: bool = False,
        compiled: bool = False,
        truncate: bool = True,
    ) -> None:
        super().__init__(network, device, dtype)
        self.clips = ClipRestorer(network, schedule, device, dtype, channels_last, compiled, truncate)
        shared = None if schedule == "published" else self.clips.portions
        self.network = SpliceRestorer(network, dtype, shared)

    def restore_clip(
        self, clip: ParsedClip, masks: np.ndarray, size: tuple[int, int] | None, progress: Progress
    ) -> tuple[np.ndarray, tuple[str, ...]]:
        """Return pictures uint8 [T, H, W, 3], restored inside the masks and unchanged elsewhere, and notes in words.

        masks: uint8 or bool [T, H, W]; size: (width, height) to work at, None for the clip's own.
        """
        pictures = clip.frames
        height, width = pictures.shape[1:3]
        shown, covered = iter(pictures), iter(masks)
        if size is not None:
            shown = (resize_picture(picture, size) for picture in pictures)
            covered = (_resized_mask(mask, size) for mask in masks)
        restored = pictures.copy()
        vectors = partial(clip_vectors, clip, size=size)
        for slot, picture in enumerate(self.clips.restore(shown, covered, vectors)):
            if size is not None:
                picture = resize_picture(picture, (width, height))
            restored[slot] = np.where(masks[slot][..., None] > 0, picture, pictures[slot])
            progress("recover", slot + 1, len(pictures))
        return restored, tuple(self._notes(clip))

    def _notes(self, clip: ParsedClip) -> Iterator[str]:
        flow = self.clips.network.window_flow
        if flow.needs_vectors and not (clip.mv_past_valid.any() or clip.mv_future_valid.any()):
            instead = "the flow is SPyNet's alone" if flow.needs_network else "nothing is taken to move"
            yield f"the input has no motion vectors, which the config's flow asks for: {instead}"


def clip_vectors(clip: ParsedClip, index: int, size: tuple[int, int] | None = None) -> np.ndarray:
    """Return the flow that the bitstream tells from picture `index` to the next and back, float32 [2, 3, r, c].

    r, c: cells of 8x8 pixels of pictures of `size` (width, height), None for the clip's own; channels: (x, y) in their
    pixels, and 1 where it is known. All is unknown where the clip has no vectors.
    """
    field = codec_flow(clip, index, 2)[:, 0]
    if size is None:
        return field
    scale = np.array(size, np.float32) / np.array([clip.frames.shape[2], clip.frames.shape[1]], np.float32)
    columns, rows = (
        np.minimum(((np.arange(-(-side // MV_BLOCK)) + 0.5) / by).astype(int), cells - 1)
        for side, by, cells in zip(size, scale, field.shape[:1:-1], strict=True)
    )
    return field[:, :, rows[:, None], columns] * np.array([*scale, 1], np.float32)[:, None, None]


def _resized_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return `mask` at another size; a pixel that is corrupted in part is corrupted."""
    share = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return (share > 0).astype(np.uint8)
