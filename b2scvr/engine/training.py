"""A training run: the stages of a config one after the other, resumed where they stopped, their weights exported."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor

from b2scvr.checkpoints.load import load_weights, read_weights, save_weights, strip_prefix, unshaped_settings
from b2scvr.config import Config
from b2scvr.engine.checkpoint import list_checkpoints
from b2scvr.engine.run_record import commit
from b2scvr.engine.runtime import Runtime
from b2scvr.engine.settings import STAGE_PARTS, StageSettings, TrainSettings, read_settings
from b2scvr.engine.trainer import Trainer
from b2scvr.engine.training_data import make_data
from b2scvr.engine.value_types import explained
from b2scvr.engine.window_stage import stage_for
from b2scvr.ops.compute import keep_freed_memory
from b2scvr.registry import MODELS

WEIGHTS = "weights.safetensors"  # in the work folder: the averaged weights of all stages trained there
logger = logging.getLogger(__name__)


def train(
    config: Config,
    work_dir: str | None = None,
    resume: str | None = None,
    stage: str | None = None,
    data: str | Sequence[str] | None = None,
    device: str = "auto",
    publish: bool = False,
    footage: str | None = None,
) -> bool:
    """Train the stages of `config` and return whether all are finished (False: the minutes ran out).

    work_dir, data, footage: instead of the config's (data, a folder or several, also instead of its footage). resume:
    "auto" (the last checkpoint of each stage in the work folder, if there is one) or the path of a checkpoint of `stage`.
    stage: only this one. device: "auto" or "cpu". publish: when all stages are finished, put their weights into the
    config's `train.export` too; without it nothing outside the work folder changes.

    All that can be wrong with the config or the data is found before any training: ValueError for keys and values,
    InputError for the data, FileNotFoundError for a checkpoint.
    """
    run, stages = read_settings(config)
    if data and footage:
        raise ValueError("cached samples and footage to make samples of at once: choose --data or --footage")
    folders = data if data is None or isinstance(data, str) else tuple(data)
    run = replace(run, work_dir=work_dir or run.work_dir, data=folders or run.data)
    run = replace(run, footage=None if data else footage or run.footage)
    if publish and not run.export:
        raise ValueError("--publish needs train.export in the config: the file to write the weights to")
    if Path(run.work_dir).exists() and not Path(run.work_dir).is_dir():
        raise ValueError(f"{run.work_dir} is a file; choose a folder with --work-dir")
    chosen = _choose(stages, stage, resume)
    keep_freed_memory()
    runtime = Runtime(run.precision, device, run.parallel, run.shard_units)
    if not torch.cuda.is_available() or device == "cpu":
        torch.set_num_threads(max(1, torch.get_num_threads() - run.workers))
    trainers = {name: _make_trainer(config, name, settings, run, runtime) for name, settings in chosen.items()}
    sets = {name: make_data(run, name, settings) for name, settings in chosen.items()}
    for name, trainer in trainers.items():
        _resume(trainer, resume)
        logger.info("%s: %s, from step %d of %d", name, sets[name][0], trainer.step, trainer.settings.steps)
    if runtime.is_main:
        _write_record(config, run)
    deadline = None if run.max_minutes is None else time.monotonic() + 60 * run.max_minutes
    for name, trainer in trainers.items():
        finished = trainer.step >= trainer.settings.steps or trainer.fit(*sets[name], deadline)
        export(trainer, Path(run.work_dir) / WEIGHTS, run.init)
        if not finished:
            logger.info("%s: out of time after step %d; --resume auto goes on", name, trainer.step)
            return False
    if publish:
        for trainer in trainers.values():
            export(trainer, Path(str(run.export)))
    return True


def export(trainer: Trainer, path: Path, beside: str | None = None) -> None:
    """Write the averaged weights of a stage into the file of weights at `path`; the other networks in it stay.

    beside: a file whose other networks come along where `path` is new. All processes must call it; the first one writes.
    """
    state = trainer.averaged_state()
    if not trainer.runtime.is_main:
        return
    notes = {
        **unshaped_settings(trainer.part, trainer.network),
        f"{trainer.part}_steps": str(trainer.step),
        f"{trainer.part}_seed": str(trainer.run.seed),
        f"{trainer.part}_minutes": f"{trainer.minutes:.1f}",
        f"{trainer.part}_commit": commit() or "unknown",
    }
    others: dict[str, dict[str, Tensor]] = {}
    if beside and not path.is_file():
        weights = read_weights(beside)
        others = {part: strip_prefix(weights, part) for part in STAGE_PARTS.values() if part != trainer.part}
    save_weights(path, {**others, trainer.part: state}, notes)
    logger.info("%s: averaged weights of step %d written to %s", trainer.tag, trainer.step, path)


def _choose(stages: dict[str, StageSettings], stage: str | None, resume: str | None) -> dict[str, StageSettings]:
    if stage is not None and stage not in stages:
        raise ValueError(f"the config has no stage {stage!r}; it has {', '.join(stages)}")
    chosen = {name: settings for name, settings in stages.items() if stage in (None, name)}
    if resume not in (None, "auto") and len(chosen) > 1:
        raise ValueError("a checkpoint belongs to one stage: say which with --stage, or use --resume auto")
    return chosen


def _make_trainer(config: Config, name: str, settings: StageSettings, run: TrainSettings, runtime: Runtime) -> Trainer:
    part = STAGE_PARTS[name]
    torch.manual_seed(run.seed)
    try:
        network = MODELS.build(config[part])
    except TypeError as error:
        raise ValueError(f"{part}: {explained(error)}") from error
    if not isinstance(network, torch.nn.Module):
        raise ValueError(f"{part}={config[part]['type']} is a classical method: there is nothing to train")
    trained_as: dict[str, object] = {
        part: config[part],
        "stage": asdict(settings),
        "seed": run.seed,
        "precision": run.precision,
    }
    if run.footage:
        drawn = {name: getattr(run, name) for name in ("round_batches", "dependents", "moving_camera", "passes")}
        weights = " ".join(f"{name}*{weight:g}" for name, weight in sorted(run.damage.items()))
        trained_as["footage"] = {**drawn, "damage": weights} | ({"encoder": run.encoder} if run.encoder else {})
    if run.init:
        load_weights(run.init, {part: network})
        trained_as["init"] = run.init
    elif hashes := _load_pretrained(network, config.get("pretrained", False)):
        trained_as["pretrained"] = hashes
    fingerprint = json.dumps(trained_as, sort_keys=True, default=list)
    folder = Path(run.work_dir) / name
    stage = stage_for(name, network, settings, runtime)
    adversary = getattr(stage, "adversary", None)
    return Trainer(network, stage, settings, run, runtime, folder, fingerprint, part, name, adversary)


def _load_pretrained(network: torch.nn.Module, wanted: object) -> dict[str, str]:
    """Give the backbones of `network` their published weights and return the SHA-256 of the files by name.

    wanted: False, True (found where such weights usually lie), or name -> path. MissingWeightsError says which file is
    wanted, and from where.
    """
    load = getattr(network, "load_pretrained", None)
    if not wanted or load is None:
        return {}
    hashes = load(dict(wanted) if isinstance(wanted, Mapping) else {})
    for name, digest in hashes.items():
        logger.info("%s: pretrained weights, SHA-256 %s", name, digest)
    return hashes


def _resume(trainer: Trainer, resume: str | None) -> None:
    found = list_checkpoints(trainer.folder)
    if resume == "auto":
        trainer.resume(found[-1] if found else None)
    elif resume is not None:
        trainer.resume(Path(resume))
    elif found:
        raise ValueError(
            f"{trainer.folder} holds a run already; go on with --resume auto, or choose another --work-dir"
        )


def _write_record(config: Config, run: TrainSettings) -> None:
    folder = Path(run.work_dir)
    folder.mkdir(parents=True, exist_ok=True)
    config.dump(str(folder / "config.py"))
    record = {"train": asdict(run), "commit": commit(), "torch": torch.__version__}
    (folder / "train.json").write_text(json.dumps(record, indent=1))
