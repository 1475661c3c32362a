"""LPIPS (Zhang et al., The Unreasonable Effectiveness of Deep Features, CVPR 2018), an optional metric.

It needs the extra `metrics` and AlexNet's weights on this machine (`checkpoints.known` says where they are looked for, the
environment variable B2SCVR_WEIGHTS first); nothing is ever downloaded. Pictures are scaled to [-1, 1], as LPIPS expects.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

import numpy as np

from b2scvr.checkpoints.known import VARIABLE, KnownWeights, find_weights
from b2scvr.metrics.psnr import require_same

ALEXNET = KnownWeights(
    "alexnet",
    "alexnet-owt-7be5be79.pth",  # torchvision's
    244,
    "BSD-3-Clause",
    "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
)


class LpipsUnavailableError(Exception):
    """LPIPS can't be computed here; the message says what is missing."""


def lpips(pictures: np.ndarray, truth: np.ndarray, device: str = "cpu", weights: Path | None = None) -> np.ndarray:
    """Return the LPIPS (AlexNet, version 0.1) of each picture, float64 [T], of two clips uint8 [T, H, W, 3]; 0 = same.

    weights: AlexNet's; None looks for them. Raises LpipsUnavailableError when the package or the weights are not here,
    ValueError when the clips do not match.
    """
    require_same(pictures, truth)
    import torch

    model = _model(require_lpips(weights), device)
    values = np.zeros(len(pictures))
    with torch.inference_mode():
        for i, (picture, true) in enumerate(zip(pictures, truth, strict=True)):
            if not np.array_equal(picture, true):
                values[i] = float(model(_to_tensor(picture, device), _to_tensor(true, device)))
    return values


def require_lpips(weights: Path | None = None) -> Path:
    """Return where AlexNet's weights are. Raises LpipsUnavailableError when they, or the package, are not here."""
    if importlib.util.find_spec("lpips") is None:
        raise LpipsUnavailableError('lpips is not installed: pip install -e ".[metrics]"')
    found = weights or find_weights(ALEXNET)
    if found is None or not found.is_file():
        raise LpipsUnavailableError(
            f"AlexNet's weights are not on this machine: put {ALEXNET.file} ({ALEXNET.url}) into a folder named by {VARIABLE}"
        )
    return found


@lru_cache(maxsize=2)
def _model(weights: Path, device: str):
    import lpips as package
    import torch

    model = package.LPIPS(net="alex", version="0.1", pnet_rand=True, verbose=False)
    trained = torch.load(weights, map_location="cpu", weights_only=True)
    # The package keeps the layers of torchvision's `features` under their numbers, in five slices.
    own = {
        f"{name}.{key}": trained[f"features.{key}"]
        for name, part in model.net.named_children()
        for key in part.state_dict()
    }
    model.net.load_state_dict(own)
    return model.to(device).eval()


def _to_tensor(picture: np.ndarray, device: str):
    import torch

    return torch.from_numpy(picture).to(device).permute(2, 0, 1)[None].float() / 127.5 - 1
