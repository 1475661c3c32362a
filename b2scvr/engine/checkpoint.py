"""Training checkpoints: complete or absent, found again by step, old ones removed."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import BinaryIO

import torch

from b2scvr.checkpoints.load import read_pickled

_NAME = re.compile(r"step_(\d{8})\.pt")


def checkpoint_path(folder: Path, step: int) -> Path:
    """Return the path of the checkpoint after `step` steps."""
    return folder / f"step_{step:08d}.pt"


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints in `folder`, the last step last."""
    return sorted(path for path in folder.glob("step_*.pt") if _NAME.fullmatch(path.name))


def save_checkpoint(folder: Path, step: int, state: dict[str, object], keep: int) -> Path:
    """Write `state` and return its path; then remove all but the last `keep` checkpoints.

    Written beside, forced to the disk, renamed: a full disk or a kill leaves the earlier checkpoints as they were. Raises
    OSError when it cannot be written.
    """
    if keep < 1:
        raise ValueError(f"keep must be at least 1, got {keep}")
    folder.mkdir(parents=True, exist_ok=True)
    path = checkpoint_path(folder, step)
    for left in folder.glob(".step_*.pt.part"):  # by a run that was killed while it wrote
        left.unlink()
    partial = folder / f".{path.name}.part"
    try:
        with partial.open("wb") as file:
            _write(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    for old in list_checkpoints(folder)[:-keep]:
        old.unlink()
    return path


def _write(state: dict[str, object], file: BinaryIO) -> None:
    try:
        torch.save(state, file)
    except RuntimeError as error:
        # A write that fails in the middle is told by PyTorch's writer as a position that it did not expect.
        reason = error.__context__ if isinstance(error.__context__, OSError) else error
        raise OSError(f"{file.name}: cannot be written ({reason})") from error


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, object]:
    """Return the state in `path`; FileNotFoundError or ValueError says what is wrong with it. Runs no code from the file."""
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint not found: {path}")
    state = read_pickled(path, device)
    if not isinstance(state, dict) or "step" not in state:
        raise ValueError(f"{path}: not a training checkpoint")
    return state
