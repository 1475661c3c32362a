"""What runs the full network for the pipeline: on one broken picture, or on a whole clip with its masks."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch

from b2scvr.cfc.clip_restorer import ClipRestorer
from b2scvr.cfc.generator import RecoveryGenerator
from b2scvr.cfc.schedule import PictureRestorer
from b2scvr.cfc.splice_windows import SpliceRestorer
from b2scvr.fill.resize import resize_picture

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
        self.network = SpliceRestorer(network, dtype)

    def restore_clip(
        self, pictures: np.ndarray, masks: np.ndarray, size: tuple[int, int] | None, progress: Progress
    ) -> np.ndarray:
        """Return uint8 [T, H, W, 3], restored inside the masks and unchanged elsewhere.

        pictures: uint8 [T, H, W, 3]; masks: uint8 or bool [T, H, W]; size: (width, height) to work at, None for their own.
        """
        height, width = pictures.shape[1:3]
        shown, covered = iter(pictures), iter(masks)
        if size is not None:
            shown = (resize_picture(picture, size) for picture in pictures)
            covered = (_resized_mask(mask, size) for mask in masks)
        restored = pictures.copy()
        for slot, picture in enumerate(self.clips.restore(shown, covered)):
            if size is not None:
                picture = resize_picture(picture, (width, height))
            restored[slot] = np.where(masks[slot][..., None] > 0, picture, pictures[slot])
            progress("recover", slot + 1, len(pictures))
        return restored


def _resized_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return `mask` at another size; a pixel that is corrupted in part is corrupted."""
    share = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return (share > 0).astype(np.uint8)
