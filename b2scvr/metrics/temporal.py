"""Temporal consistency: the warping error of Lai et al. (Learning Blind Video Temporal Consistency, ECCV 2018), section 4.

Does a picture, moved by the motion of the clean video, show what the next one shows? Motion and occlusion come from the
clean pictures alone, so that all methods are measured by the same ruler. Here the flow is DIS instead of FlowNet 2.
"""

from __future__ import annotations

import cv2
import numpy as np

from b2scvr.fill.flow import optical_flow
from b2scvr.metrics.psnr import PEAK, require_same

# Ruder et al. (Artistic Style Transfer for Videos, GCPR 2016), equations 5 and 6.
CONSISTENCY_SHARE, CONSISTENCY_PX2 = 0.01, 0.5
BOUNDARY_SHARE, BOUNDARY_PX2 = 0.01, 0.002


class WarpingError:
    """Measures clips against the motion of one clean clip, uint8 [T, H, W, 3], which is estimated once.

    Holds 9 bytes a pixel and picture.
    """

    def __init__(self, clean: np.ndarray) -> None:
        self.clean = clean
        self._motion: list[tuple[np.ndarray, np.ndarray]] | None = None

    def pairs(self, pictures: np.ndarray) -> np.ndarray:
        """Return the error of each pair of successive pictures, float64 [T - 1], of a clip uint8 [T, H, W, 3].

        The mean, over the pixels that are seen in both clean pictures, of the squared difference between picture t and
        picture t + 1 warped to it, summed over R, G and B in [0, 1] (Lai et al., section 4: E_pair). 0 where nothing of a
        picture is seen in the next one. Raises ValueError when the clip does not match the clean one.
        """
        require_same(pictures, self.clean)
        if self._motion is None:
            self._motion = [visible_motion(a, b) for a, b in zip(self.clean, self.clean[1:], strict=False)]
        errors = np.zeros(len(self._motion))
        for t, (motion, visible) in enumerate(self._motion):
            if visible.any():
                difference = pictures[t].astype(np.float32) - _moved(pictures[t + 1], motion)
                errors[t] = float(np.square(difference / PEAK).sum(axis=2)[visible].mean(dtype=np.float64))
        return errors


def visible_motion(picture: np.ndarray, following: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the motion from a picture into the following one, float32 [H, W, 2] pixels, and where it holds, bool [H, W].

    It does not hold where it leads out of the picture, where the motion back does not return to the same place, and at
    the edges of moving things (Ruder et al., equations 5 and 6).
    """
    there, back = optical_flow(picture, following), optical_flow(following, picture)
    height, width = there.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    ends = x + there[..., 0], y + there[..., 1]
    inside = (ends[0] >= 0) & (ends[0] <= width - 1) & (ends[1] >= 0) & (ends[1] <= height - 1)
    returned = cv2.remap(back, *ends, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    lengths = _squared(there) + _squared(returned)
    consistent = _squared(there + returned) <= CONSISTENCY_SHARE * lengths + CONSISTENCY_PX2
    slope = _squared(np.gradient(there, axis=0)) + _squared(np.gradient(there, axis=1))
    smooth = slope <= BOUNDARY_SHARE * _squared(there) + BOUNDARY_PX2
    return there, inside & consistent & smooth


def _squared(vectors: np.ndarray) -> np.ndarray:
    return np.square(vectors).sum(axis=2)


def _moved(picture: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """The picture read where the motion points, float32 [H, W, 3], bilinear."""
    height, width = motion.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return cv2.remap(picture.astype(np.float32), x + motion[..., 0], y + motion[..., 1], cv2.INTER_LINEAR,
                     borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
