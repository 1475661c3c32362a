"""Recovery as a config says: networks built, weights loaded, put on a device, and clips run through the pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from b2scvr.bitstream.assembly import CodedClip
from b2scvr.bitstream.guard import prepare
from b2scvr.bitstream.part import Part, PartMasks, Telling
from b2scvr.bitstream.reader import decode_guarded
from b2scvr.cfc import make_restorer
from b2scvr.checkpoints.load import load_weights
from b2scvr.config import Config, load_config
from b2scvr.dac import Calibration, make_tracker
from b2scvr.ops.compute import keep_freed_memory, pick_device, pick_dtype
from b2scvr.pipeline.pictures import no_progress
from b2scvr.pipeline.pipeline import Pipeline
from b2scvr.pipeline.splice_mode import Decode
from b2scvr.registry import MODELS
from b2scvr.types import CorruptionMasks, FirstMask, Progress, RecoveredClip

PIPELINE_OPTIONS = ("difference_levels", "hindsight")  # arguments of Pipeline that a config may give
ROOT = Path(__file__).resolve().parents[2]  # configs/ and checkpoints/ live there


class Recoverer:
    """A pipeline built from a config: `config["dac"]` finds damage, `config["cfc"]` restores.

    config: path of a config file, or one already loaded. checkpoint: weights (.safetensors) of the networks; None takes
    the config's own `checkpoint`; classical methods need none. device: "auto", "cpu" or "cuda[:N]". dtype: "fp32", "bf16"
    or "fp16". size: (width, height) to work at; the result has the native size. decode: how repaired streams are read; in a
    child process unless they are known to do no harm.

    Raises FileNotFoundError for a missing config or checkpoint, ValueError for weights that don't fit or a bad option.
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | Path | None = None,
        device: str = "auto",
        dtype: str = "fp32",
        mode: str = "auto",
        size: tuple[int, int] | None = None,
        decode: Decode = decode_guarded,
    ) -> None:
        keep_freed_memory()
        prepare(decode_guarded, 2)  # imports while the weights are read; at the end two streams are decoded
        self.config = config if isinstance(config, Config) else load_config(config)
        parts = {name: MODELS.build(self.config[name]) for name in ("dac", "cfc")}
        networks = {name: part for name, part in parts.items() if isinstance(part, torch.nn.Module)}
        self.checkpoint = _checkpoint_path(self.config, checkpoint) if networks else None
        self.device = pick_device(device)
        if self.checkpoint is not None:
            load_weights(self.checkpoint, networks)
        number_type = pick_dtype(dtype)
        if "dac" in networks:
            known = Calibration.of_weights(self.checkpoint)
            tracking = self.config.get("track", {})
            parts["dac"] = make_tracker(networks["dac"], self.device, number_type, known, **tracking)
        if "cfc" in networks:
            parts["cfc"] = make_restorer(networks["cfc"], self.device, number_type, **self.config.get("frames", {}))
        options = {name: self.config[name] for name in PIPELINE_OPTIONS if name in self.config}
        self.pipeline = Pipeline(parts["dac"], parts["cfc"], mode, size, decode, self.device, **options)

    @property
    def needs_clip(self) -> bool:
        """Whether a clip may not come part by part; see Pipeline."""
        return self.pipeline.needs_clip

    @property
    def detects_first(self) -> bool:
        """Whether all damage is found before any is restored, each picture on its own."""
        return self.pipeline.detects_first

    def recover_parts(
        self, parts: Iterable[Part], given: PartMasks | None, telling: Telling, first_mask: FirstMask | None = None
    ) -> Iterator[tuple[Part, RecoveredClip]]:
        """Yield the parts of a file recovered; see Pipeline.recover_parts."""
        return self.pipeline.recover_parts(parts, given, telling, first_mask)

    def detect_parts(
        self, parts: Iterable[Part], telling: Telling, first_mask: FirstMask | None = None
    ) -> Iterator[tuple[Part, RecoveredClip]]:
        """Yield the parts of a file with their masks alone; see Pipeline.detect_parts."""
        return self.pipeline.detect_parts(parts, telling, first_mask)

    def recover(
        self, coded: CodedClip, given_masks: np.ndarray | None = None, progress: Progress = no_progress
    ) -> RecoveredClip:
        """Return `coded` recovered; see Pipeline.recover."""
        return self.pipeline.recover(coded, given_masks, progress)

    def detect(
        self, coded: CodedClip, progress: Progress = no_progress, first_mask: FirstMask | None = None
    ) -> CorruptionMasks:
        """Return the masks only; see Pipeline.detect."""
        return self.pipeline.detect(coded, progress, first_mask)


def _checkpoint_path(config: Config, checkpoint: str | Path | None) -> Path:
    """The weights to load: the given ones, or the config's own, whose path is relative to the repository."""
    path = Path(checkpoint) if checkpoint is not None else ROOT / config["checkpoint"]
    if not path.is_file():
        raise FileNotFoundError(f"weights not found: {path}; train them with train.py, or name others by --checkpoint")
    return path
