"""What a detector's numbers mean: probabilities, decision and confidence fitted on validation, kept beside the weights."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from torch import Tensor

from b2scvr.checkpoints.load import read_metadata

METADATA_KEY = "dac_calibration"  # in the header of a file of weights


@dataclass(frozen=True)
class Calibration:
    """Four corrections, none by default.

    A pixel's probability is sigmoid((logit - mask_threshold) / mask_temperature): from 1/2 on it counts as wrong, the
    temperature makes it as sure as it is right (temperature scaling, Guo et al., ICML 2017, equation 9).
    change_point_temperature: factor of the change point's temperature (ops.change_point). The confidence of a picture is
    confidence_offset + confidence_slope * predicted IoU, in [0, 1].
    """

    mask_threshold: float = 0.0  # log odds
    mask_temperature: float = 1.0
    change_point_temperature: float = 1.0
    confidence_offset: float = 0.0
    confidence_slope: float = 1.0

    def __post_init__(self) -> None:
        values = asdict(self)
        if wrong := [name for name, value in values.items() if not math.isfinite(value)]:
            raise ValueError(f"calibration: {', '.join(wrong)} must be finite numbers")
        if wrong := [name for name in ("mask_temperature", "change_point_temperature") if values[name] <= 0]:
            raise ValueError(f"calibration: {', '.join(wrong)} must be above 0")

    def mask(self, logits: Tensor) -> Tensor:
        """Return the probability that a pixel is visibly wrong, of the shape of `logits`."""
        return ((logits - self.mask_threshold) / self.mask_temperature).sigmoid()

    def confidence(self, predicted_iou: float) -> float:
        """Return the IoU to be expected of a mask, in [0, 1]."""
        return min(max(self.confidence_offset + self.confidence_slope * predicted_iou, 0.0), 1.0)

    def to_metadata(self) -> dict[str, str]:
        """Return the entry for the header of a file of weights."""
        return {METADATA_KEY: json.dumps(asdict(self), sort_keys=True)}

    @classmethod
    def of_weights(cls, path: Path | None) -> Calibration:
        """Return what is kept beside the weights at `path`; no correction for other files than .safetensors, or none."""
        if path is None or path.suffix != ".safetensors":
            return cls()
        return cls.from_metadata(read_metadata(path))

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Calibration:
        """Return what the header of a file of weights says; no correction where it says nothing.

        Raises ValueError for an entry that is none.
        """
        text = metadata.get(METADATA_KEY)
        if text is None:
            return cls()
        try:
            values = json.loads(text)
            known = {f.name for f in fields(cls)}
            if not isinstance(values, dict) or set(values) != known:
                raise ValueError(f"expected {', '.join(sorted(known))}")
            return cls(**{name: float(value) for name, value in values.items()})
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"the weights' calibration can't be read ({error}); make it again with calibrate.py"
            ) from error
