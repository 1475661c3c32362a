"""Published checkpoints turned into ours, with a report of what fits and what does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from b2scvr.checkpoints.keys import KeyMap, Translation

LISTED = 20  # names of a kind in the text of a report
WRAPPER = "module."  # before every name of a network that was saved as data parallel
REINITIALISED_STD = (0.0195, 0.0205)  # of a normal distribution of deviation 0.02, as many weights give it


@dataclass
class Report:
    """How the weights of a checkpoint fit a network. Lists hold names, or sentences that begin with one."""

    fitting: int
    computed: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # ours, which the checkpoint has nothing for
    unexpected: list[str] = field(default_factory=list)  # theirs, which have no place
    misshapen: list[str] = field(default_factory=list)
    not_finite: list[str] = field(default_factory=list)

    @property
    def fits(self) -> bool:
        """Whether every weight has its place, every place its weight, and all of them are numbers."""
        return not (self.missing or self.unexpected or self.misshapen or self.not_finite)

    def text(self) -> str:
        """Return the report, a line a kind and the names of those that do not fit."""
        lines = [
            f"{self.fitting} tensors fit; {len(self.computed)} are computed here and {len(self.unused)} are read by nobody"
        ]
        for kind in ("missing", "unexpected", "misshapen", "not_finite"):
            names = getattr(self, kind)
            lines.append(f"{len(names)} {kind.replace('_', ' ')}")
            lines += [f"  {name}" for name in names[:LISTED]]
            if len(names) > LISTED:
                lines.append(f"  and {len(names) - LISTED} more")
        return "\n".join(lines)


def unwrap(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights without the prefix of a data-parallel network, where all names have it."""
    if published and all(name.startswith(WRAPPER) for name in published):
        return {name.removeprefix(WRAPPER): value for name, value in published.items()}
    return dict(published)


def convert(
    published: Mapping[str, Tensor], keys: KeyMap, expected: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], Report]:
    """Return the weights under our names, those that fit `expected` in name and shape, and the report.

    expected: the state dict of our network; its values are not read (they may be on the meta device).
    """
    translation = keys.translate(published)
    weights = {name: value for name, value in translation.weights.items() if _fits(expected.get(name), value)}
    return weights, _report(translation, weights, expected)


def reinitialised(weights: Mapping[str, Tensor], part: str) -> bool:
    """Whether the layers of `part` look freshly drawn: all weights of deviation 0.02, all biases zero.

    A network that was trained has neither. B2SCVR's own set-up overwrites its pretrained backbones so.
    """
    low, high = REINITIALISED_STD
    layers = [
        (value, weights[bias])
        for name, value in weights.items()
        if name.startswith(f"{part}.") and name.endswith(".weight") and value.dim() > 1
        if (bias := name.removesuffix("weight") + "bias") in weights
    ]
    return bool(layers) and all(low < value.std() < high and not bias.any() for value, bias in layers)


def _fits(expected: Tensor | None, value: Tensor) -> bool:
    return expected is not None and expected.shape == value.shape


def _report(translation: Translation, weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Report:
    renamed = translation.weights
    return Report(
        fitting=len(weights),
        computed=translation.computed,
        unused=translation.unused,
        missing=[name for name in expected if name not in renamed],
        unexpected=translation.unknown + [name for name in renamed if name not in expected],
        misshapen=[
            f"{name} is {list(value.shape)}, the network has {list(expected[name].shape)}"
            for name, value in renamed.items()
            if name in expected and name not in weights
        ],
        not_finite=[name for name, value in renamed.items() if not bool(torch.isfinite(value).all())],
    )
