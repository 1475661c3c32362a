"""What a training config may say. Unknown keys are refused before anything starts."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TypeVar

from b2scvr.config import Config
from b2scvr.data.dataset import View
from b2scvr.registry import MODELS

STAGE_PARTS = {"detect": "dac", "recover": "cfc"}  # which network a stage trains
TOP_KEYS = ("dac", "cfc", "checkpoint", "pretrained", "track", "train", "stages")
Settings = TypeVar("Settings")


@dataclass(frozen=True)
class StageSettings:
    """One stage: its length, optimiser, and how it looks at the samples (see data.dataset.View)."""

    steps: int
    batch: int  # samples of one optimiser step, all processes together
    lr: float
    accumulate: int = 1  # micro-batches that a batch is split into
    weight_decay: float = 0.01
    warmup: int = 200  # steps
    final_lr: float = 0.01  # share of lr that is left at the end
    clip_norm: float = 1.0
    ema: float = 0.999
    crop: tuple[int, int] | None = None
    band: int | None = None
    mirror: bool = False
    recolour: bool = False
    jitter: bool = False
    broken_only: bool = True
    max_pixels: int | None = None
    lr_scale: dict[str, float] = field(default_factory=dict)  # by pattern of the parameter's name
    frozen: tuple[str, ...] = ()  # patterns
    loss: dict[str, float] = field(default_factory=dict)  # arguments of the stage's loss

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "accumulate"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.batch % self.accumulate:
            raise ValueError(f"a batch of {self.batch} does not divide into {self.accumulate} micro-batches")
        if self.lr <= 0:
            raise ValueError(f"lr must be above 0, got {self.lr}")

    @property
    def view(self) -> View:
        """How the stage looks at its samples."""
        crop = None if self.crop is None else (self.crop[0], self.crop[1])
        return View(crop, self.band, self.mirror, self.recolour, self.jitter, self.broken_only, self.max_pixels)


@dataclass(frozen=True)
class TrainSettings:
    """What all stages share."""

    data: str = "cache/train"  # a cache folder of tools/make_pairs.py
    validation: str | None = None  # another one
    work_dir: str = "work_dirs/default"
    seed: int = 0
    precision: str = "fp32"
    workers: int = 2
    log_every: int = 20  # steps
    save_every: int = 500
    validate_every: int = 1000
    validate_samples: int = 32
    keep: int = 2  # checkpoints
    max_minutes: float | None = None  # of this call; then save and stop
    init: str | None = None  # weights that the networks start from, instead of random ones
    export: str | None = None  # the averaged weights go here when a stage ends

    def __post_init__(self) -> None:
        for name in ("log_every", "save_every", "validate_every", "keep"):
            if getattr(self, name) < 1:
                raise ValueError(f"train.{name} must be at least 1, got {getattr(self, name)}")


def read_settings(config: Config) -> tuple[TrainSettings, dict[str, StageSettings]]:
    """Return the run's settings and those of its stages, in the order detect, recover.

    Raises ValueError for an unknown or missing key (the nearest known one is named) and for values that make no sense.
    """
    check_keys("the config", config, TOP_KEYS)
    if not config.get("stages"):
        raise ValueError("the config has no stages: nothing to train")
    check_keys("stages", config["stages"], tuple(STAGE_PARTS))
    run = _build(TrainSettings, "train", config.get("train") or {})
    stages = {
        name: _build(StageSettings, f"stages.{name}", config["stages"][name])
        for name in STAGE_PARTS
        if name in config["stages"]
    }
    for name in stages:
        if STAGE_PARTS[name] not in config:
            raise ValueError(f"stage {name} trains {STAGE_PARTS[name]!r}, which the config does not have")
        check_network(STAGE_PARTS[name], config[STAGE_PARTS[name]])
    return run, stages


def check_network(part: str, section: Mapping[str, object]) -> None:
    """Raise ValueError when `section` (of the config's key `part`) names an unknown class or argument."""
    kind = section.get("type")
    found = MODELS.get(str(kind))
    if found is None:
        raise ValueError(f"{part}: no model is called {kind!r}; known: {', '.join(sorted(MODELS.module_dict))}")
    check_keys(part, section, ("type", *inspect.signature(found).parameters))


def check_keys(where: str, found: Mapping[str, object], known: tuple[str, ...]) -> None:
    """Raise ValueError naming a key of `found` that is not `known`, and the nearest that is."""
    for key in found:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise ValueError(f"{where}: unknown key {key!r}; {hint}")


def _build(kind: type[Settings], where: str, values: Mapping[str, object]) -> Settings:
    declared = fields(kind)  # type: ignore[arg-type]
    check_keys(where, values, tuple(f.name for f in declared))
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    try:
        return kind(**plain)
    except TypeError as error:  # a key without a default is missing
        raise ValueError(f"{where}: {error}") from error
