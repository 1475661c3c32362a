"""What runs the full network for the pipeline: on one broken picture, or on clips with their masks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import tee

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


@dataclass(frozen=True)
class MaskedClip:
    """Some pictures of a file and where they are damaged, among those that were read with them."""

    clip: ParsedClip
    masks: np.ndarray  # uint8 or bool [T, H, W]
    own: slice  # of display indices: what is to be restored; behind it is one picture more, but at the end of the file


class GeneratorRestorer(PictureRestorer):
    """`restore` restores one picture among those around it (splice mode), `restore_clips` clips of any length (frames mode).

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

    def restore_clips(self, clips: Iterable[MaskedClip], size: tuple[int, int] | None = None) -> Iterator[np.ndarray]:
        """Yield all own pictures, uint8 [H, W, 3], restored inside the masks and unchanged elsewhere, once they are done.

        clips: one behind the other, as a file is read; windows reach from one to the next. size: (width, height) to work at,
        None for their own.
        """
        shown = _Shown(clips, size)
        pictures, masks = tee(shown.pairs())
        restored = self.clips.restore((one for one, _ in pictures), (one for _, one in masks), shown.vectors)
        for picture in restored:
            decoded, mask = shown.take()
            if size is not None:
                picture = resize_picture(picture, (decoded.shape[1], decoded.shape[0]))
            yield np.where(mask[..., None] > 0, picture, decoded)

    def notes(self, clip: ParsedClip) -> tuple[str, ...]:
        """Return in words what the network would need to know of a clip and is not told."""
        flow = self.clips.network.window_flow
        if not flow.needs_vectors or clip.mv_past_valid.any() or clip.mv_future_valid.any():
            return ()
        instead = "the flow is SPyNet's alone" if flow.needs_network else "nothing is taken to move"
        return (f"the input has no motion vectors, which the config's flow asks for: {instead}",)


class _Shown:
    """The pictures that a restorer of clips was shown and did not give back yet, by their number."""

    def __init__(self, clips: Iterable[MaskedClip], size: tuple[int, int] | None) -> None:
        self._clips, self._size = clips, size
        self._places: dict[int, tuple[MaskedClip, int]] = {}

    def pairs(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield picture and mask as the network is to see them."""
        number = 0
        for masked in self._clips:
            for slot in range(masked.own.start, masked.own.stop):
                self._places[number] = masked, slot
                number += 1
                picture, mask = masked.clip.frames[slot], masked.masks[slot]
                if self._size is not None:
                    picture, mask = resize_picture(picture, self._size), _resized_mask(mask, self._size)
                yield picture, mask
            del masked  # before the next one comes

    def vectors(self, number: int) -> np.ndarray:
        """Return what the bitstream tells of the motion to the next picture and back, see `clip_vectors`."""
        masked, slot = self._places[number]
        return clip_vectors(masked.clip, slot, self._size)

    def take(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the first of the pictures with its mask, at their own size, and forget it."""
        masked, slot = self._places.pop(min(self._places))
        return masked.clip.frames[slot], masked.masks[slot]


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
