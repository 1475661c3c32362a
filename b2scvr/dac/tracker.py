"""The detection network run on one picture: NumPy in, NumPy out."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from b2scvr.ops.batch import mask_at_pixels, pictures_to_tensor
from b2scvr.types import PictureDamage, Surroundings


class DamageDetector:
    """Finds the damage of a picture with a detection network (`Detector`, or another with its forward).

    device: "cpu", "cuda[:N]"; dtype: of the computation (automatic mixed precision when not float32).
    """

    def __init__(
        self, network: nn.Module, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        self.network = network.to(device).eval()
        self.device = torch.device(device)
        self.dtype = dtype

    @torch.inference_mode()
    def detect(self, surroundings: Surroundings) -> PictureDamage:
        """Return where the picture is damaged."""
        tensors = {
            "window": pictures_to_tensor(surroundings.window),
            "fill": pictures_to_tensor(surroundings.fill),
            "evidence": torch.from_numpy(np.ascontiguousarray(surroundings.evidence, np.float32)),
            "concealed": torch.from_numpy(np.ascontiguousarray(surroundings.concealed, np.bool_)),
            "slice_start": torch.from_numpy(np.ascontiguousarray(surroundings.slice_start, np.bool_)),
            "broken": torch.tensor(bool(surroundings.broken)),
        }
        batch = {name: tensor[None].to(self.device) for name, tensor in tensors.items()}
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            output = self.network(current=surroundings.current, **batch)
        macroblocks = output.macroblock_probability[0].float().cpu().numpy()
        height, width = surroundings.decoded.shape[:2]
        mask = mask_at_pixels(output.mask_logits.float(), (height, width)).sigmoid()[0, 0]
        return PictureDamage(macroblocks, mask.cpu().numpy(), float(output.iou_prediction[0]))
