"""The training loop of one stage. Stopped anywhere and resumed, it ends with the same weights as if never stopped.

Exact because nothing depends on history but the saved state: samples and augmentation are drawn from (seed, step,
slot), the network's random numbers are seeded with (seed, step, process) before each step, the learning rate is a
function of the step, and weights, averages and the optimiser's moments are in the checkpoint.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from b2scvr.checkpoints.load import save_weights, unshaped_settings
from b2scvr.data.dataset import Batch, StepDataset
from b2scvr.engine.adversary import Adversary
from b2scvr.engine.checkpoint import checkpoint_path, load_checkpoint, save_checkpoint
from b2scvr.engine.identity import differences
from b2scvr.engine.loader_meter import LoaderMeter, LoaderReport
from b2scvr.engine.optim import AveragedWeights, freeze, make_optimizer, schedule, set_learning_rate
from b2scvr.engine.runtime import Runtime
from b2scvr.engine.settings import StageSettings, TrainSettings, stage_defaults
from b2scvr.engine.sharding import load_network_state, load_optimizer_state, network_state, optimizer_state
from b2scvr.engine.stages import Stage
from b2scvr.engine.training_log import TrainingLog, time_left
from b2scvr.engine.validation import pictures, validate

SECOND_WORD_S = 1.0  # within which PyTorch's signal handler tells of a worker whose pipe broke
MAX_SKIPPED = 20  # steps in a row without a finite gradient before training gives up
logger = logging.getLogger(__name__)


class TrainingStoppedError(RuntimeError):
    """Training cannot go on; its checkpoints can."""


class BatchSource(Protocol):
    """Where training takes its batches from: `data.dataset.StepDataset`, or anything that is addressed by step like it."""

    def batches(
        self, size: int, start: int, stop: int, rank: int = 0, world: int = 1, workers: int = 0, pin: bool = False
    ) -> Iterator[Batch]:
        """Yield this process's share of the batches `start` to `stop` - 1, of `size` samples for all processes together.

        Each has the entry MAKING_SECONDS besides.
        """
        ...


@dataclass
class Trainer:
    """Trains `network` on one stage and keeps its state in `folder`.

    fingerprint: JSON that says what is trained and how; a checkpoint with another one is refused. part: the network's name
    in files of weights. tag: beginning of log lines. adversary: learns after each step, from what the stage showed it.
    """

    network: nn.Module
    stage: Stage
    settings: StageSettings
    run: TrainSettings
    runtime: Runtime
    folder: Path
    fingerprint: str
    part: str
    tag: str = "train"
    adversary: Adversary | None = None

    def __post_init__(self) -> None:
        s = self.settings
        if s.batch % (s.accumulate * self.runtime.world):
            raise ValueError(
                f"a batch of {s.batch} does not divide into {s.accumulate} micro-batches of {self.runtime.world} processes"
            )
        freeze(self.network, s.frozen)
        self.network.to(self.runtime.device)
        self.average = AveragedWeights(self.network, s.ema)
        self.runtime.spread(self.average.network)
        self.model = self.runtime.prepare(self.network)  # the same weights, wrapped where there are several processes
        self.optimizer = make_optimizer(self.network, s.lr, s.weight_decay, s.lr_scale, s.betas)
        self.step, self.minutes, self.best, self.skipped = 0, 0.0, -np.inf, 0
        self.saved_step, self.warned = -1, False
        self.log = TrainingLog(self.folder, self.run.tensorboard)

    def resume(self, path: Path | None) -> None:
        """Continue from the checkpoint at `path`, or begin anew where there is none.

        ValueError when it is of another network or other settings, or not the same in all processes.
        """
        state = None if path is None else load_checkpoint(path)
        if not self.runtime.agrees(0.0 if state is None else float(state["step"])):  # type: ignore[arg-type]
            raise ValueError(
                f"{self.folder}: the processes see different checkpoints; all machines must share this folder"
            )
        if state is not None:
            self._restore(state, f"{path}")
        if self.runtime.is_main:
            self.log.forget_after(self.step)

    def _restore(self, state: dict[str, object], name: str) -> None:
        found, wanted = (json.loads(str(text)) for text in (state.get("fingerprint"), self.fingerprint))
        if other := differences(found, wanted, stage_defaults("stage.")):
            raise ValueError(f"{name} belongs to another config: {'; '.join(other)}")
        load_network_state(self.network, state["network"])  # type: ignore[arg-type]
        load_network_state(self.average.network, state["average"])  # type: ignore[arg-type]
        load_optimizer_state(self.network, self.optimizer, state["optimizer"])  # type: ignore[arg-type]
        if self.adversary is not None:
            self.adversary.load_state_dict(state["adversary"])  # type: ignore[arg-type]
        self.step, self.skipped = int(state["step"]), int(state["skipped"])  # type: ignore[call-overload]
        self.minutes, self.best = float(state["minutes"]), float(state["best"])  # type: ignore[arg-type]
        self.saved_step = self.step

    def fit(self, data: BatchSource, validation: StepDataset | None = None, deadline: float | None = None) -> bool:
        """Train until the last step or until `deadline` (time.monotonic seconds); save, and say whether it is finished.

        Raises TrainingStoppedError when a process that makes samples dies, OSError when a file cannot be written.
        """
        try:
            try:
                return self._fit(data, validation, deadline)
            except (ConnectionError, EOFError):
                time.sleep(SECOND_WORD_S)  # the pipe broke before PyTorch's signal handler told: it still will
                raise
        except (RuntimeError, ConnectionError, EOFError) as error:
            # PyTorch tells it by its words alone, and at any moment: the state may be half a step on, and is not saved.
            if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
                raise
            raise TrainingStoppedError(f"{self.tag}: a process that makes samples died ({error})") from error
        finally:
            self.log.close()

    def _fit(self, data: BatchSource, validation: StepDataset | None, deadline: float | None) -> bool:
        s = self.settings
        batches = data.batches(
            s.batch // s.accumulate,
            self.step * s.accumulate,
            s.steps * s.accumulate,
            self.runtime.rank,
            self.runtime.world,
            self.run.workers,
            pin=self.runtime.device.type == "cuda",
        )
        started, before, first = time.monotonic(), self.minutes, self.step
        meter = LoaderMeter(self.run.workers)
        sums: dict[str, Tensor] = {}
        logged = self.step
        while self.step < s.steps:
            taken = meter.take(batches, s.accumulate)
            terms, lr = meter.computed(self._train_step, taken)
            sums = {name: sums.get(name, 0) + value for name, value in terms.items()}
            self.minutes = before + (time.monotonic() - started) / 60
            if self.step % self.run.log_every == 0 or self.step == s.steps:
                pace = (time.monotonic() - started) / (self.step - first)
                means = {name: value / (self.step - logged) for name, value in sums.items()}
                self._log(means, lr, pace, meter.report())
                sums, logged = {}, self.step
            if validation is not None and (self.step % self.run.validate_every == 0 or self.step == s.steps):
                self._validate(validation)
            if self.step % self.run.save_every == 0:
                self.save()
            if deadline is not None and self.runtime.any(time.monotonic() >= deadline):
                break
        self.save()
        return self.step >= s.steps

    def save(self) -> None:
        """Write a checkpoint of this step, unless there is one."""
        if self.saved_step != self.step:
            state = {
                "step": self.step,
                "skipped": self.skipped,
                "minutes": self.minutes,
                "best": self.best,
                "fingerprint": self.fingerprint,
                "network": network_state(self.network),
                "average": self.averaged_state(),
                "optimizer": optimizer_state(self.network, self.optimizer),
            }
            if self.adversary is not None:
                state["adversary"] = self.adversary.state_dict()
            if self.runtime.is_main:
                save_checkpoint(self.folder, self.step, state, self.run.keep)
        self.saved_step = self.step
        self.runtime.wait()

    def averaged_state(self) -> dict[str, Tensor]:
        """Return the averaged weights. All processes must call it; in the first one they are whole."""
        return network_state(self.average.network)

    def last_checkpoint(self) -> Path:
        """Return the path of the checkpoint of this step."""
        return checkpoint_path(self.folder, self.step)

    def _train_step(self, batches: list[Batch]) -> tuple[dict[str, Tensor], float]:
        """One optimiser step over the micro-batches; return the mean terms and the learning rate."""
        s = self.settings
        self.network.train()
        self._seed()
        self.runtime.share_buffers(self.network)
        lr = s.lr * schedule(self.step, s.steps, s.warmup, s.final_lr, s.milestones, s.lr_factor)
        set_learning_rate(self.optimizer, lr)
        self.optimizer.zero_grad(set_to_none=True)
        total: dict[str, Tensor] = {}
        for number, batch in enumerate(batches, 1):
            moved = {name: value.to(self.runtime.device, non_blocking=True) for name, value in batch.items()}
            with self.runtime.accumulating(self.model, last=number == len(batches)):
                with self.runtime.autocast():
                    terms = self.stage.losses(self.model, moved)
                loss = torch.stack([term.float() for term in terms.values()]).sum()
                self.runtime.backward(loss / len(batches))
            for name, term in {"loss": loss, **terms}.items():
                total[name] = total.get(name, 0) + term.detach().float() / len(batches)
        self._update()
        if self.adversary is not None:
            total |= self.adversary.update(lr / s.lr)
        self.step += 1
        return total, lr

    def _update(self) -> None:
        """Clip, step and average; a step whose gradient is not finite changes nothing."""
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = self.runtime.clip(trained, self.settings.clip_norm)
        if torch.isfinite(norm):
            self.optimizer.step()
            self.average.update(self.network, self.step)
            self.skipped = 0
            return
        self.skipped += 1
        logger.warning("%s: step %d skipped, its gradient is not finite", self.tag, self.step)
        if self.skipped >= MAX_SKIPPED:
            raise TrainingStoppedError(
                f"{self.tag}: {MAX_SKIPPED} steps in a row without a finite gradient; lower the lr"
            )

    def _seed(self) -> None:
        words = np.random.SeedSequence([self.run.seed, self.step, self.runtime.rank]).generate_state(2, np.uint32)
        torch.manual_seed(int(words[0]) << 32 | int(words[1]))

    def _log(self, terms: dict[str, Tensor], lr: float, pace: float, loader: LoaderReport) -> None:
        """pace: seconds a step, on average since this call began."""
        means = self.runtime.mean(terms)
        if not self.runtime.is_main:
            return
        s, rate = self.settings, self.settings.batch / pace
        speed = {"samples_per_second": rate, "loader_samples_per_second": loader.made, "waiting": loader.waiting}
        self.log.add("train", self.step, {"minutes": self.minutes, "lr": lr, **speed, **means})
        parts = " ".join(f"{name} {value:.4f}" for name, value in means.items())
        left = time_left(pace * (s.steps - self.step))
        logger.info(
            "%s %d/%d  %s  lr %.2e  %.1f samples/s  left %s  (%s)",
            self.tag,
            self.step,
            s.steps,
            parts,
            lr,
            rate,
            left,
            loader,
        )
        if loader.is_bottleneck and not self.warned:
            self.warned = True
            logger.warning("%s: %s", self.tag, loader.advice())

    def _validate(self, data: StepDataset) -> None:
        """Judge the averaged weights, keep them if they are the best so far, and show some pictures."""
        network = self.average.network
        means = validate(self.stage, network, data, self.run.validate_samples, self.runtime)
        score = means[self.stage.score]
        improved, self.best = score > self.best, max(score, self.best)
        state = self.averaged_state() if improved else {}
        shown = list(pictures(self.stage, network, data, self.run.validate_pictures, self.runtime))
        if not self.runtime.is_main:
            return
        self.log.add("validation", self.step, means)
        for number, picture in enumerate(shown):
            self.log.add_picture(self.step, number, picture)
        logger.info("%s %d validation  %s", self.tag, self.step, " ".join(f"{k} {v:.4f}" for k, v in means.items()))
        if improved:
            notes = {f"{self.part}_steps": str(self.step), f"{self.part}_{self.stage.score}": f"{score:.4f}"}
            notes |= unshaped_settings(self.part, self.network)
            save_weights(self.folder / "best.safetensors", {self.part: state}, notes)
