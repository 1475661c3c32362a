"""The training loop of one stage. Stopped anywhere and resumed, it ends with the same weights as if never stopped.

Exact because nothing depends on history but the saved state: samples and augmentation are drawn from (seed, step,
slot), the network's random numbers are seeded with (seed, step, process) before each step, the learning rate is a
function of the step, and weights, averages and the optimiser's moments are in the checkpoint.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from b2scvr.checkpoints.load import save_weights
from b2scvr.data.dataset import Batch, PairDataset, StepSampler, make_loader
from b2scvr.engine.checkpoint import checkpoint_path, load_checkpoint, save_checkpoint
from b2scvr.engine.optim import AveragedWeights, make_optimizer, schedule, set_learning_rate
from b2scvr.engine.runtime import Runtime
from b2scvr.engine.settings import StageSettings, TrainSettings
from b2scvr.engine.stages import Stage
from b2scvr.engine.training_log import Table, time_left

MAX_SKIPPED = 20  # steps in a row without a finite gradient before training gives up
logger = logging.getLogger(__name__)


@dataclass
class Trainer:
    """Trains `network` on one stage and keeps its state in `folder`.

    fingerprint: text that says what is trained and how; a checkpoint with another one is refused. part: the network's name
    in files of weights. tag: beginning of log lines.
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

    def __post_init__(self) -> None:
        s = self.settings
        if s.batch % (s.accumulate * self.runtime.world):
            raise ValueError(
                f"a batch of {s.batch} does not divide into {s.accumulate} micro-batches of {self.runtime.world} processes"
            )
        self.optimizer = make_optimizer(
            self.network.to(self.runtime.device), s.lr, s.weight_decay, s.lr_scale, s.frozen
        )
        self.average = AveragedWeights(self.network, s.ema)
        self.model = self.runtime.prepare(
            self.network
        )  # the same weights, in DDP's wrapper where there are several processes
        self.step, self.minutes, self.best, self.skipped = 0, 0.0, -np.inf, 0
        self.saved_step = -1
        self.table = Table(self.folder / "log.csv")
        self.validation_table = Table(self.folder / "validation.csv")

    def resume(self, path: Path) -> None:
        """Continue from the checkpoint at `path`. ValueError when it is of another network or other settings."""
        state = load_checkpoint(path, self.runtime.device)
        if state.get("fingerprint") != self.fingerprint:
            raise ValueError(
                f"{path} belongs to another config:\n it has {state.get('fingerprint')}\n now {self.fingerprint}"
            )
        self.network.load_state_dict(state["network"])  # type: ignore[arg-type]
        self.average.network.load_state_dict(state["average"])  # type: ignore[arg-type]
        self.optimizer.load_state_dict(state["optimizer"])  # type: ignore[arg-type]
        self.step, self.skipped = int(state["step"]), int(state["skipped"])  # type: ignore[call-overload]
        self.minutes, self.best = float(state["minutes"]), float(state["best"])  # type: ignore[arg-type]
        self.saved_step = self.step
        if self.runtime.is_main:
            self.table.forget_after(self.step)
            self.validation_table.forget_after(self.step)

    def fit(self, data: PairDataset, validation: PairDataset | None = None, deadline: float | None = None) -> bool:
        """Train until the last step or until `deadline` (time.monotonic seconds); save, and say whether it is finished."""
        s = self.settings
        sampler = StepSampler(
            data,
            s.batch // s.accumulate,
            self.step * s.accumulate,
            s.steps * s.accumulate,
            self.runtime.rank,
            self.runtime.world,
        )
        batches = iter(make_loader(sampler, self.run.workers, pin=self.runtime.device.type == "cuda"))
        started, before, first = time.monotonic(), self.minutes, self.step
        sums: dict[str, Tensor] = {}
        logged = self.step
        while self.step < s.steps:
            terms, lr = self._train_step([next(batches) for _ in range(s.accumulate)])
            sums = {name: sums.get(name, 0) + value for name, value in terms.items()}
            self.minutes = before + (time.monotonic() - started) / 60
            if self.step % self.run.log_every == 0 or self.step == s.steps:
                pace = (time.monotonic() - started) / (self.step - first)
                self._log({name: value / (self.step - logged) for name, value in sums.items()}, lr, pace)
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
        if self.saved_step != self.step and self.runtime.is_main:
            state = {
                "step": self.step,
                "skipped": self.skipped,
                "minutes": self.minutes,
                "best": self.best,
                "fingerprint": self.fingerprint,
                "network": self.network.state_dict(),
                "average": self.average.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            }
            save_checkpoint(self.folder, self.step, state, self.run.keep)
        self.saved_step = self.step
        self.runtime.wait()

    def last_checkpoint(self) -> Path:
        """Return the path of the checkpoint of this step."""
        return checkpoint_path(self.folder, self.step)

    def _train_step(self, batches: list[Batch]) -> tuple[dict[str, Tensor], float]:
        """One optimiser step over the micro-batches; return the mean terms and the learning rate."""
        s = self.settings
        self.network.train()
        self._seed()
        lr = s.lr * schedule(self.step, s.steps, s.warmup, s.final_lr)
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
        self.step += 1
        return total, lr

    def _update(self) -> None:
        """Clip, step and average; a step whose gradient is not finite changes nothing."""
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(trained, self.settings.clip_norm)
        if torch.isfinite(norm):
            self.optimizer.step()
            self.average.update(self.network, self.step)
            self.skipped = 0
            return
        self.skipped += 1
        logger.warning("%s: step %d skipped, its gradient is not finite", self.tag, self.step)
        if self.skipped >= MAX_SKIPPED:
            raise FloatingPointError(
                f"{self.tag}: {MAX_SKIPPED} steps in a row without a finite gradient; lower the lr"
            )

    def _seed(self) -> None:
        words = np.random.SeedSequence([self.run.seed, self.step, self.runtime.rank]).generate_state(2, np.uint32)
        torch.manual_seed(int(words[0]) << 32 | int(words[1]))

    def _log(self, terms: dict[str, Tensor], lr: float, pace: float) -> None:
        """pace: seconds a step."""
        means = self.runtime.mean(terms)
        if not self.runtime.is_main:
            return
        rate = self.settings.batch / pace
        self.table.add({"step": self.step, "minutes": self.minutes, "lr": lr, "samples_per_second": rate, **means})
        parts = " ".join(f"{name} {value:.4f}" for name, value in means.items())
        left = time_left(pace * (self.settings.steps - self.step))
        logger.info(
            "%s %d/%d  %s  lr %.2e  %.1f samples/s  left %s",
            self.tag,
            self.step,
            self.settings.steps,
            parts,
            lr,
            rate,
            left,
        )

    @torch.no_grad()
    def _validate(self, data: PairDataset) -> None:
        """Judge the averaged weights on up to `validate_samples` samples, the same ones each time, shared by the processes."""
        count, world = min(self.run.validate_samples, len(data)), self.runtime.world
        each = -(-count // world)
        sums: dict[str, Tensor] = {}
        for turn in range(each):
            number = (turn * world + self.runtime.rank) % count
            batch = data.batch_of_one(number * len(data) // count)
            moved = {name: value.to(self.runtime.device) for name, value in batch.items()}
            with self.runtime.autocast():
                judged = self.stage.judge(self.average.network, moved)
            sums = {name: sums.get(name, 0) + value for name, value in judged.items()}
        means = self.runtime.mean({name: value / each for name, value in sums.items()})
        score = means[self.stage.score]
        improved, self.best = score > self.best, max(score, self.best)
        if not self.runtime.is_main:
            return
        self.validation_table.add({"step": self.step, **means})
        logger.info("%s %d validation  %s", self.tag, self.step, " ".join(f"{k} {v:.4f}" for k, v in means.items()))
        if improved:
            save_weights(self.folder / "best.safetensors", {self.part: self.average.network.state_dict()})
