"""The two stages of training: which tensors a network is given, what it loses, how it is judged."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from b2scvr.data.dataset import Batch
from b2scvr.engine.settings import check_keys
from b2scvr.fill.surroundings import BEFORE
from b2scvr.losses.detection import detection_losses
from b2scvr.losses.recovery import recovery_losses
from b2scvr.ops.batch import mask_at_pixels
from b2scvr.types import MB_SIZE

RECOVER_INPUTS = ("window", "candidates", "candidate_valid", "mask", "motion", "distance", "evidence")
OPTIONAL_INPUTS = ("stacked",)  # of the recovery network: where a batch has it
MAX_PSNR_DB = 100.0
MARK = 0.5  # opacity of marked pixels in pictures
WRONG = 0.5  # probability from which a pixel or macroblock counts as found


class Stage(Protocol):
    """What the trainer needs to know of a stage."""

    score: str  # the entry of `judge` by which the best weights are chosen; higher is better

    def losses(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the weighted terms by name; their sum is the loss."""
        ...

    def judge(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return scalars that are averaged over the validation samples; a batch holds one."""
        ...

    def show(self, network: nn.Module, batch: Batch) -> list[Tensor]:
        """Return pictures [1, 3, H, W] in [0, 1] of a batch of one, to be looked at side by side."""
        ...


class DetectStage:
    """Trains the detection network. loss: weights of `detection_losses`; ValueError for one that it has not."""

    score = "iou"

    def __init__(self, loss: Mapping[str, float] | None = None) -> None:
        self.loss = _weights("stages.detect.loss", loss, detection_losses)

    def losses(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """See Stage."""
        output = network(**self.inputs(batch))
        wrong, concealed, starts, broken = (batch[name] > 0 for name in ("wrong", "concealed", "slice_start", "broken"))
        return detection_losses(output, batch["visible"], wrong, concealed, starts, broken, **self.loss)

    def judge(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return IoU of the visible mask, and of the macroblocks with the truth's suffix."""
        output = network(**self.inputs(batch))
        height, width = batch["visible"].shape[-2:]
        found = mask_at_pixels(output.mask_logits.float(), (height, width)) > 0
        truth = batch["mask"][:, 0, ::MB_SIZE, ::MB_SIZE] >= WRONG
        return {
            "iou": _iou(found, batch["visible"] > 0),
            "macroblock_iou": _iou(output.macroblock_probability >= WRONG, truth),
        }

    def show(self, network: nn.Module, batch: Batch) -> list[Tensor]:
        """Return the picture as decoded, with the visible damage found in red, and with the true one."""
        decoded = batch["candidates"][:, 0]
        height, width = batch["visible"].shape[-2:]
        logits = network(**self.inputs(batch)).mask_logits.float()
        found = mask_at_pixels(logits, (height, width)).sigmoid()
        return [decoded, _reddened(decoded, found), _reddened(decoded, batch["visible"])]

    @staticmethod
    def inputs(batch: Batch) -> dict[str, Any]:
        """Return what the network's forward takes."""
        flags = {name: batch[name] > 0 for name in ("concealed", "slice_start", "broken")}
        fill = batch["candidates"][:, -1]
        return {"window": batch["window"], "current": BEFORE, "fill": fill, "evidence": batch["evidence"], **flags}


class RecoverStage:
    """Trains the recovery network. loss: weights of `recovery_losses`; ValueError for one that it has not."""

    score = "psnr_restored"

    def __init__(self, loss: Mapping[str, float] | None = None) -> None:
        self.loss = _weights("stages.recover.loss", loss, recovery_losses)

    def losses(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """See Stage."""
        output = network(**self.inputs(batch))
        return recovery_losses(output, batch["target"], batch["mask"], **self.loss)

    def judge(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the PSNR (dB, RGB, whole picture) as decoded, with the classical fill in the mask, and as restored."""
        output = network(**self.inputs(batch))
        decoded, fill = batch["candidates"][:, 0], batch["candidates"][:, -1]
        filled = decoded + (fill - decoded) * batch["mask"]
        pictures = {"decoded": decoded, "fill": filled, "restored": output.restored.float().clamp(0, 1)}
        return {f"psnr_{name}": psnr(picture, batch["target"]) for name, picture in pictures.items()}

    def show(self, network: nn.Module, batch: Batch) -> list[Tensor]:
        """Return the picture as decoded, as restored, and the true one."""
        output = network(**self.inputs(batch))
        return [batch["candidates"][:, 0], output.restored, batch["target"]]

    @staticmethod
    def inputs(batch: Batch) -> dict[str, Any]:
        """Return what the network's forward takes."""
        present = {name: batch[name] for name in OPTIONAL_INPUTS if name in batch}
        return {"current": BEFORE, **{name: batch[name] for name in RECOVER_INPUTS}, **present}


STAGES: dict[str, type[DetectStage] | type[RecoverStage]] = {"detect": DetectStage, "recover": RecoverStage}


def _weights(where: str, given: Mapping[str, float] | None, losses: Callable[..., object]) -> dict[str, float]:
    """Return the weights given, which must be arguments of `losses` with a default; ValueError names the nearest."""
    known = tuple(p.name for p in inspect.signature(losses).parameters.values() if p.default is not p.empty)
    check_keys(where, given or {}, known)
    return dict(given or {})


def _reddened(picture: Tensor, mask: Tensor) -> Tensor:
    red = torch.tensor([1.0, 0.0, 0.0], device=picture.device)[:, None, None]
    return picture + (red - picture) * mask * MARK


def psnr(picture: Tensor, target: Tensor) -> Tensor:
    """Return the PSNR in dB of pictures in [0, 1], at most MAX_PSNR_DB."""
    error = (picture - target).square().mean()
    return (-10 * torch.log10(error)).clamp(max=MAX_PSNR_DB)


def _iou(found: Tensor, truth: Tensor) -> Tensor:
    union = (found | truth).sum()
    return torch.where(union > 0, (found & truth).sum() / union.clamp(min=1), torch.ones((), device=union.device))
