"""What is needed to repeat a run: configuration, versions, commit, seeds, hashes."""

from __future__ import annotations

import hashlib
import platform
import random
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np

from b2scvr import __version__
from b2scvr.types import PARSER_VERSION

SEED = 0
PACKAGES = ("torch", "torchvision", "numpy", "av", "opencv-python-headless", "mmengine", "sam2", "safetensors", "timm")
_ROOT = Path(__file__).resolve().parents[2]


def seed_everything(seed: int = SEED) -> None:
    """Seed every generator that inference could draw from, so that a result does not depend on what ran before it."""
    import torch

    random.seed(seed)
    np.random.seed(seed)
    cv2.setRNGSeed(seed)
    torch.manual_seed(seed)


def run_record(
    source: Path, arguments: dict[str, object], config: dict[str, object] | None, weights: Path | None
) -> dict[str, object]:
    """Return the record of a run on `source`, ready for JSON. `weights` None: the run used none."""
    return {
        "b2scvr": __version__,
        "parser_version": PARSER_VERSION,
        "commit": commit(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "arguments": arguments,
        "config": config,
        "seeds": {"python": SEED, "numpy": SEED, "opencv": SEED, "torch": SEED},
        "sha256": {
            "input": sha256(source),
            "weights": None if weights is None else sha256(weights),
        },
        "input": str(source),
        "weights": None if weights is None else str(weights),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions(),
    }


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions() -> dict[str, str | None]:
    """Return the installed version of each package whose release can change a result; None where it is not installed."""
    found: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def commit() -> str | None:
    """Return the commit of the checkout that runs, "-dirty" when tracked files were changed; None outside a checkout."""
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=_ROOT, capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return said.stdout.strip()
