"""Weights of the networks in one safetensors file: keys begin with the network's name, `dac.` or `cfc.`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

LISTED_KEYS = 8  # of each kind in an error message


class WeightsMismatchError(ValueError):
    """Weights that do not belong to the network; the message lists missing, unexpected and wrongly shaped keys."""


def load_weights(path: str | Path, networks: Mapping[str, nn.Module]) -> None:
    """Load the weights at `path` into `networks` (name -> network), strictly: every key must match in name and shape.

    Keys of networks that are not asked for are left alone. Settings that no shape tells (`unshaped_settings`) must be those
    that the file's header has, where it has some. Raises, before anything is changed, FileNotFoundError for a
    missing file, ValueError for one that holds no weights or some that are not finite, WeightsMismatchError when they
    belong to another network.
    """
    weights = read_weights(path)
    header = read_metadata(path) if Path(path).suffix == ".safetensors" else {}
    parts = {name: strip_prefix(weights, name) for name in networks}
    for name, network in networks.items():
        if not parts[name]:
            found = sorted({key.partition(".")[0] for key in weights})
            raise WeightsMismatchError(f"{path}: no weights of {name!r}; it holds {', '.join(found) or 'nothing'}")
        problems = compare_keys(network.state_dict(), parts[name])
        if problems:
            raise WeightsMismatchError(f"{path}: the weights of {name!r} are of another network: {problems}")
        if broken := [key for key, value in parts[name].items() if not bool(torch.isfinite(value).all())]:
            raise ValueError(f"{path}: weights of {name!r} that are not finite numbers: {_listed(broken)}")
        for setting, value in unshaped_settings(name, network).items():
            if header.get(setting, value) != value:
                raise WeightsMismatchError(f"{path}: trained with {setting}={header[setting]}, the config has {value}")
    for name, network in networks.items():
        network.load_state_dict(parts[name], strict=True)


def unshaped_settings(name: str, network: nn.Module) -> dict[str, str]:
    """Return the settings of the network called `name` without which its weights mean nothing, but which their shapes don't tell.

    A network names them in `unshaped`. They are kept in the header of its weights as "name.setting".
    """
    return {f"{name}.{setting}": str(getattr(network, setting)) for setting in getattr(network, "unshaped", ())}


def save_weights(
    path: str | Path, parts: Mapping[str, Mapping[str, Tensor]], metadata: Mapping[str, str] | None = None
) -> None:
    """Write `parts` (network name -> state dict) to `path`, in one piece; weights of other networks already there stay.

    metadata: strings kept in the file's header; the header's other entries stay too. A failed write leaves the old file
    and raises OSError.
    """
    path = Path(path)
    merged: dict[str, Tensor] = {}
    header: dict[str, str] = {}
    if path.is_file():
        kept = read_weights(path)
        merged = {key: value for key, value in kept.items() if key.partition(".")[0] not in parts}
        header = read_metadata(path)
    for name, state in parts.items():
        merged |= {f"{name}.{key}": value.detach().cpu().contiguous().clone() for key, value in state.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        save_file(merged, partial, metadata={**header, **(metadata or {})})
        os.replace(partial, path)
    except SafetensorError as error:
        raise OSError(f"{path}: cannot be written ({error})") from error
    finally:
        partial.unlink(missing_ok=True)


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Return the tensors of a .safetensors file, or of a .pt/.pth file that holds a state dict, on the CPU.

    A training checkpoint that keeps its state dict under "model", beside other things, gives that.
    PyTorch files are read with weights_only=True: one that needs code to run is refused (ValueError).
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"weights not found: {path}")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path}: not a file of weights that can be read ({error})") from error
    content = read_pickled(path)
    if isinstance(content, dict) and isinstance(content.get("model"), dict):
        content = content["model"]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f"{path}: expected a state dict, names and tensors and nothing else")
    return content


def read_pickled(path: Path, device: torch.device | str = "cpu") -> object:
    """Return what a file of torch.save holds, tensors on `device`. Code in it is not run but refused (ValueError)."""
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # on garbage the unpickler fails in any way it likes: IndexError, KeyError, ...
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise ValueError(f"{path}: not a file of weights that can be read ({reason})") from error


def read_metadata(path: str | Path) -> dict[str, str]:
    """Return the strings in the header of a .safetensors file."""
    with safe_open(str(path), framework="pt") as file:
        return dict(file.metadata() or {})


def strip_prefix(weights: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Return the weights whose key begins with `name` and a point, without that beginning."""
    prefix = f"{name}."
    return {key[len(prefix) :]: value for key, value in weights.items() if key.startswith(prefix)}


def compare_keys(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """Return what differs between two state dicts in keys and shapes, in words; empty when they match."""
    missing = [key for key in expected if key not in found]
    unexpected = [key for key in found if key not in expected]
    misshapen = [
        f"{key} {list(found[key].shape)} instead of {list(value.shape)}"
        for key, value in expected.items()
        if key in found and found[key].shape != value.shape
    ]
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": misshapen}
    return "; ".join(f"{len(keys)} {kind}: {_listed(keys)}" for kind, keys in kinds.items() if keys)


def _listed(keys: list[str]) -> str:
    shown = ", ".join(keys[:LISTED_KEYS])
    return shown if len(keys) <= LISTED_KEYS else f"{shown}, and {len(keys) - LISTED_KEYS} more"
