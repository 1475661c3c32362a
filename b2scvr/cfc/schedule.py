"""The recovery network run on one picture: NumPy in, NumPy out."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from b2scvr.ops.batch import macroblocks_to_pixels, tensor_to_picture, to_tensors
from b2scvr.ops.stacking import stack_candidates
from b2scvr.types import MB_SIZE, PictureDamage, Surroundings


class PictureRestorer:
    """Restores damaged pictures with a recovery network: `RecoveryNetwork`, `RecoveryGenerator` or another with their
    `restore_picture`.

    The mask is the detector's probability, of macroblocks in a broken picture (what the bitstream lost, it lost by
    macroblocks), of pixels in any other: 0 below `surely_right`, 1 from `surely_wrong` on, linear between. Pixels of
    mask 0 come back as decoded, bit for bit.

    Only the part of the picture around the damage is computed: its bounding box and `margin` macroblocks around it.
    device: "cpu", "cuda[:N]"; dtype: of the computation (automatic mixed precision when not float32).
    """

    def __init__(
        self,
        network: nn.Module,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        surely_right: float = 0.25,
        surely_wrong: float = 0.5,
        margin: int = 4,
    ) -> None:
        if not 0 <= surely_right < surely_wrong <= 1:
            raise ValueError(f"0 <= surely_right < surely_wrong <= 1 must hold, got {surely_right}, {surely_wrong}")
        self.network: Any = network.to(device).eval()
        self.device = torch.device(device)
        self.dtype = dtype
        self.surely_right = surely_right
        self.surely_wrong = surely_wrong
        self.margin = margin

    @torch.inference_mode()
    def restore(self, surroundings: Surroundings, damage: PictureDamage) -> np.ndarray:
        """Return the restored picture, uint8 [H, W, 3]."""
        mask = self._mask(surroundings, damage)
        restored = surroundings.decoded.copy()
        if not mask.any():
            return restored
        rows, columns = bounding_box(mask, self.margin)
        inputs = {"mask": mask[None], **to_tensors(surroundings)}
        if getattr(self.network, "stack", False):  # all that is right of the picture is to judge the guesses
            given = (inputs[name][None].to(self.device) for name in ("candidates", "candidate_valid", "mask"))
            inputs["stacked"] = stack_candidates(*given)[0]
        inputs = {name: _crop(name, x, rows, columns) for name, x in inputs.items()}
        batch = {name: x[None].to(self.device) for name, x in inputs.items()}
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            picture = self.network.restore_picture(current=surroundings.current, **batch)
        wrong = mask[rows, columns, None].numpy() > 0
        restored[rows, columns] = np.where(wrong, tensor_to_picture(picture[0]), restored[rows, columns])
        return restored

    def _mask(self, surroundings: Surroundings, damage: PictureDamage) -> Tensor:
        """Return the soft mask [H, W] in [0, 1]."""
        probability = torch.from_numpy(damage.macroblocks if surroundings.broken else damage.mask).float()
        if surroundings.broken:
            probability = macroblocks_to_pixels(probability[None, None], surroundings.decoded.shape[:2])[0, 0]
        return ((probability - self.surely_right) / (self.surely_wrong - self.surely_right)).clamp(0, 1)


def bounding_box(mask: Tensor, margin: int) -> tuple[slice, slice]:
    """Return rows and columns of the smallest box of whole macroblocks around mask > 0 and `margin` more on each side.

    mask: [H, W], not all zero. The box ends at the picture's edge where it would pass it.
    """
    found = []
    for axis, size in enumerate(mask.shape):
        hit = torch.nonzero(mask.amax(1 - axis)).flatten()
        first = max(int(hit[0]) // MB_SIZE - margin, 0) * MB_SIZE
        last = min((int(hit[-1]) // MB_SIZE + 1 + margin) * MB_SIZE, size)
        found.append(slice(first, last))
    return found[0], found[1]


def _crop(name: str, x: Tensor, rows: slice, columns: slice) -> Tensor:
    """Cut the box, given in pixels and beginning on a macroblock, out of one of the network's inputs."""
    if name == "distance":
        return x
    if name == "evidence":
        rows, columns = (slice(s.start // MB_SIZE, -(-s.stop // MB_SIZE)) for s in (rows, columns))
    return x[..., rows, columns]
