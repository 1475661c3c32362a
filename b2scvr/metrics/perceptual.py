"""LPIPS (Zhang et al., The Unreasonable Effectiveness of Deep Features, CVPR 2018), an optional metric.

It needs the extra `metrics` and AlexNet's weights on this machine; nothing is ever downloaded.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from b2scvr.metrics.psnr import require_same

ALEXNET_FILE = "alexnet-owt-7be5be79.pth"  # torchvision's name


class LpipsUnavailableError(Exception):
    """LPIPS can't be computed here; the message says what is missing."""


def lpips(pictures: np.ndarray, truth: np.ndarray, device: str = "cpu") -> np.ndarray:
    """Return the LPIPS (AlexNet, version 0.1) of each picture, float64 [T], of two clips uint8 [T, H, W, 3]; 0 = same.

    Raises LpipsUnavailableError when the package or the weights are not here, ValueError when the clips do not match.
    """
    require_same(pictures, truth)
    if importlib.util.find_spec("lpips") is None:
        raise LpipsUnavailableError('lpips is not installed: pip install -e ".[metrics]"')
    import torch

    weights = Path(torch.hub.get_dir()) / "checkpoints" / ALEXNET_FILE
    if not weights.is_file():
        raise LpipsUnavailableError(f"AlexNet's weights are not on this machine ({weights})")
    import lpips as package

    model = package.LPIPS(net="alex", version="0.1", verbose=False).to(device).eval()
    values = np.zeros(len(pictures))
    with torch.inference_mode():
        for i, (picture, true) in enumerate(zip(pictures, truth, strict=True)):
            if not np.array_equal(picture, true):
                values[i] = float(model(_to_tensor(picture, device), _to_tensor(true, device)))
    return values


def _to_tensor(picture: np.ndarray, device: str):
    import torch

    return torch.from_numpy(picture).to(device).permute(2, 0, 1)[None].float() / 127.5 - 1
