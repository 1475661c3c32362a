"""Which network tells videos apart for VFID: I3D, as in the papers, or any other that is named."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol

import numpy as np

DEFAULT = "i3d"


class FeaturesUnavailableError(Exception):
    """An extractor of features can't be used here; the message says what is missing."""


class VideoFeatures(Protocol):
    """Makes a feature vector of a clip; `metrics.i3d.I3dFeatures` is what the papers use."""

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        """Return the features, float64 [D], of a clip uint8 [T, H, W, 3]."""
        ...


def make_features(name: str = DEFAULT, weights: str | None = None, device: str = "cpu") -> VideoFeatures:
    """Return the extractor called `name`: "i3d", or MODULE:FACTORY, which is called with `weights` and `device`.

    weights: path of its weights; None lets it look for them. Raises FeaturesUnavailableError when they are not here (a
    factory may raise it too), ValueError for a name that is none.
    """
    if name == DEFAULT:
        from b2scvr.metrics.i3d import I3dFeatures

        return I3dFeatures(weights, device)
    module, _, factory = name.partition(":")
    if not module or not factory:
        raise ValueError(f"features {name!r}: write {DEFAULT}, or MODULE:FACTORY")
    try:
        make = getattr(import_module(module), factory)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"features {name!r}: {error}") from error
    return make(weights, device)
