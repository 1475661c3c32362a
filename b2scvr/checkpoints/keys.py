"""Names in published checkpoints -> names in our networks: what a map is, and how weights pass through it.

A map is strict: every tensor of the file is renamed, or known as one that our network computes or that no network reads,
and the renamed ones must be exactly those of our network (`load_published`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, nn

from b2scvr.checkpoints.load import WeightsMismatchError, compare_keys, read_weights

Rule = tuple[str, str]  # pattern of a whole published name, template of ours


@dataclass
class Translation:
    """Weights under our names, and the published names that have none."""

    weights: dict[str, Tensor] = field(default_factory=dict)
    computed: list[str] = field(default_factory=list)  # constants that our network computes
    unused: list[str] = field(default_factory=list)  # read by no part of the published network
    unknown: list[str] = field(default_factory=list)  # of another network


@dataclass(frozen=True)
class KeyMap:
    """How the tensors of one published network are called here.

    rules: the first whose pattern matches a whole name renames it; computed, unused: patterns of names without a place,
    looked at first; squeezed: our names of 1x1 convolutions and scalars that have fewer axes here.
    """

    rules: tuple[Rule, ...]
    computed: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    squeezed: tuple[str, ...] = ()

    def translate(self, published: Mapping[str, Tensor]) -> Translation:
        """Return the published weights under our names. ValueError when two of them would get the same one."""
        out = Translation()
        for name, value in published.items():
            ours = self._rename(name)
            if _any_matches(self.computed, name):
                out.computed.append(name)
            elif _any_matches(self.unused, name):
                out.unused.append(name)
            elif ours is None:
                out.unknown.append(name)
            elif ours in out.weights:
                raise ValueError(f"two tensors of the checkpoint would be called {ours!r}, one of them is {name!r}")
            else:
                out.weights[ours] = _squeeze(value) if ours in self.squeezed else value
        return out

    def _rename(self, name: str) -> str | None:
        for pattern, template in self.rules:
            if match := re.fullmatch(pattern, name):
                return match.expand(template)
        return None


def load_published(path: str | Path, network: nn.Module, keys: KeyMap) -> None:
    """Load the published checkpoint at `path` into `network`, strictly: nothing missing, nothing left over.

    Raises FileNotFoundError for a missing file, ValueError for one that holds no weights, WeightsMismatchError (before
    anything is changed) when they belong to another network.
    """
    translation = keys.translate(read_weights(path))
    problems = compare_keys(network.state_dict(), translation.weights)
    if translation.unknown:
        problems = "; ".join(filter(None, [problems, f"{len(translation.unknown)} unknown: {translation.unknown[:4]}"]))
    if problems:
        raise WeightsMismatchError(f"{path}: not the published {type(network).__name__}: {problems}")
    network.load_state_dict(translation.weights, strict=True)


def _squeeze(value: Tensor) -> Tensor:
    """Drop the axes of length 1 behind the first."""
    return value.reshape(*value.shape[:1], *(side for side in value.shape[1:] if side != 1))


def _any_matches(patterns: Iterable[str], name: str) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in patterns)
