"""What a training config may say. Unknown keys are refused before anything starts."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import TypeVar

from b2scvr.config import Config
from b2scvr.data.damage_mix import DAMAGE_WEIGHTS, check_weights
from b2scvr.data.dataset import View
from b2scvr.data.variants import MOVING_SHARE
from b2scvr.data.window_dataset import KINDS, WindowShape
from b2scvr.engine.value_types import check_types
from b2scvr.registry import MODELS

SCHEDULES = ("cosine", "step")
STAGE_PARTS = {"detect": "dac", "recover": "cfc"}  # which network a stage trains
TOP_KEYS = (
    "dac",
    "cfc",
    "checkpoint",
    "pretrained",
    "track",
    "frames",
    "difference_levels",
    "hindsight",
    "train",
    "stages",
)
Settings = TypeVar("Settings")


@dataclass(frozen=True)
class StageSettings:
    """One stage: its length, optimiser, and how it looks at the samples (see data.dataset.View)."""

    steps: int
    batch: int  # samples of one optimiser step, all processes together
    lr: float
    accumulate: int = 1  # micro-batches that a batch is split into
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)  # of Adam's moments
    warmup: int = 200  # steps
    schedule: str = "cosine"  # or "step"
    final_lr: float = 0.01  # cosine: share of lr that is left at the end
    milestones: tuple[int, ...] = ()  # step: steps at which lr is multiplied by lr_factor
    lr_factor: float = 0.1
    clip_norm: float = 1.0
    ema: float = 0.999
    crop: tuple[int, int] | None = None
    band: int | None = None
    mirror: bool = False
    recolour: bool = False
    jitter: bool = False
    broken_only: bool = True
    max_pixels: int | None = None
    oracle_masks: bool = False
    stacked: bool = False
    samples: tuple[str, ...] = ("pictures",)  # or "windows", or both: a full generator's
    local: int = 5  # windows: pictures that follow one another
    references: int = 3  # windows: pictures from elsewhere in the clip
    lr_scale: dict[str, float] = field(default_factory=dict)  # by regular expression for the parameter's whole name
    frozen: tuple[str, ...] = ()  # regular expressions, too
    loss: dict[str, float] = field(default_factory=dict)  # arguments of the stage's loss
    discriminator: dict[str, object] | None = None  # arguments of engine.adversary.Adversary; None: there is none
    perceptual: str | None = None  # path of VGG-16's weights, for a loss with a perceptual_weight; None looks for them

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "accumulate"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.batch % self.accumulate:
            raise ValueError(f"a batch of {self.batch} does not divide into {self.accumulate} micro-batches")
        if not self.samples or set(self.samples) - set(KINDS):
            raise ValueError(f"samples must be some of {', '.join(KINDS)}, got {self.samples}")
        for name in ("lr", "clip_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        for name in ("warmup", "weight_decay"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        if not all(0 <= decay < 1 for decay in (self.ema, *self.betas)):
            raise ValueError(f"ema and betas must lie in [0, 1), got {self.ema} and {self.betas}")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, got {self.schedule!r}")
        if (self.schedule == "step") != bool(self.milestones):
            raise ValueError(
                f"milestones belong to the schedule 'step' and it to them, got {self.schedule!r}, {self.milestones}"
            )
        if list(self.milestones) != sorted(set(self.milestones)) or any(m >= self.steps for m in self.milestones):
            raise ValueError(
                f"milestones must rise and lie before the last of {self.steps} steps, got {self.milestones}"
            )
        _ = self.view, self.window_shape  # raise ValueError for what makes none

    @property
    def view(self) -> View:
        """How the stage looks at its samples."""
        crop = None if self.crop is None else (self.crop[0], self.crop[1])
        return View(
            crop,
            self.band,
            self.mirror,
            self.recolour,
            self.jitter,
            self.broken_only,
            self.max_pixels,
            self.oracle_masks,
            self.stacked,
        )

    @property
    def window_shape(self) -> WindowShape:
        """How many pictures a window has."""
        return WindowShape(self.local, self.references)


@dataclass(frozen=True)
class TrainSettings:
    """What all stages share."""

    data: str | tuple[str, ...] = "cache/train"  # a cache folder of tools/make_pairs.py, or several
    footage: str | None = None  # folder of clean clips: pairs without end are made of them, and data is not looked at
    round_batches: int = 200  # footage: micro-batches until each clip is treated anew
    pair_workers: int = 2  # footage: processes that make pairs
    dependents: float = 0.0  # footage: chance of a dependent picture beside each that splice mode restores
    damage: dict[str, float] = field(default_factory=lambda: dict(DAMAGE_WEIGHTS))  # footage: weights, data.damage_mix
    moving_camera: float = MOVING_SHARE  # footage: chance of a camera that pans and zooms
    encoder: dict[str, str] = field(default_factory=dict)  # footage: options of x264 for all clips, over drawn ones
    passes: int = 1  # footage: repairs by the truth, after each of which further pictures are taken, and one
    validation: str | None = None  # another cache folder
    work_dir: str = "work_dirs/default"
    seed: int = 0
    precision: str = "fp32"
    workers: int = 2
    log_every: int = 20  # steps
    save_every: int = 500
    validate_every: int = 1000
    validate_samples: int = 32
    validate_pictures: int = 4  # of these samples are written as pictures
    keep: int = 2  # checkpoints; the best weights by the stage's score are kept besides
    tensorboard: bool = True
    parallel: str = "ddp"  # how several processes share a network: "ddp", or "fsdp" for large ones
    shard_units: tuple[str, ...] = ()  # fsdp: modules that are gathered one at a time, by regular expression
    max_minutes: float | None = None  # of this call; then save and stop
    init: str | None = None  # weights that the networks start from, instead of random ones
    export: str | None = None  # the file that train.py --publish writes the weights to

    def __post_init__(self) -> None:
        for name in ("log_every", "save_every", "validate_every", "keep", "round_batches", "pair_workers", "passes"):
            if getattr(self, name) < 1:
                raise ValueError(f"train.{name} must be at least 1, got {getattr(self, name)}")
        for name in ("workers", "seed", "validate_samples", "validate_pictures"):
            if getattr(self, name) < 0:
                raise ValueError(f"train.{name} must be at least 0, got {getattr(self, name)}")
        for name in ("dependents", "moving_camera"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"train.{name} must lie in [0, 1], got {getattr(self, name)}")
        check_weights(self.damage)


def read_settings(config: Config) -> tuple[TrainSettings, dict[str, StageSettings]]:
    """Return the run's settings and those of its stages, in the order detect, recover.

    Raises ValueError for an unknown or missing key (the nearest known one is named) and for values that make no sense.
    """
    check_keys("the config", config, TOP_KEYS)
    if not config.get("stages"):
        raise ValueError("the config has no stages: nothing to train")
    for name, section in (("stages", config["stages"]), ("train", config.get("train") or {})):
        _require_mapping(name, section)
    check_keys("stages", config["stages"], tuple(STAGE_PARTS))
    for name, section in config["stages"].items():
        _require_mapping(f"stages.{name}", section)
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


def stage_defaults(prefix: str) -> dict[str, object]:
    """Return the defaults of a stage's settings by name, `prefix` before each."""
    return {
        prefix + f.name: list(f.default) if isinstance(f.default, tuple) else f.default
        for f in fields(StageSettings)
        if f.default is not MISSING
    }


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


def _require_mapping(name: str, section: object) -> None:
    if not isinstance(section, Mapping):
        raise ValueError(f"{name} must be a mapping of settings, got {section!r}")


def _build(kind: type[Settings], where: str, values: Mapping[str, object]) -> Settings:
    declared = fields(kind)  # type: ignore[arg-type]
    check_keys(where, values, tuple(f.name for f in declared))
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    check_types(kind, where, plain)
    try:
        return kind(**plain)
    except TypeError as error:  # a key without a default is missing
        raise ValueError(f"{where}: {error}") from error
    except ValueError as error:
        raise ValueError(str(error) if str(error).startswith(where) else f"{where}: {error}") from error
