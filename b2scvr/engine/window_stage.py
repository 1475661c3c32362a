"""Stage 2 of the full generator: windows of pictures, an adversary, and which stage belongs to which network."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from b2scvr.cfc.generator import RecoveryGenerator
from b2scvr.cfc.motion import WindowFlow, vectors_of_motion
from b2scvr.data.dataset import Batch
from b2scvr.data.window_dataset import PICTURES
from b2scvr.engine.adversary import Adversary
from b2scvr.engine.runtime import Runtime
from b2scvr.engine.settings import StageSettings, check_keys
from b2scvr.engine.stages import STAGES, Stage, psnr
from b2scvr.fill.surroundings import BEFORE
from b2scvr.losses.perceptual import PerceptualLoss
from b2scvr.losses.window import flow_loss, window_losses
from b2scvr.ops.padding import pad_to_multiple

WEIGHTS = {
    "hole_weight": 1.0,
    "valid_weight": 1.0,
    "adversarial_weight": 0.01,
    "perceptual_weight": 0.0,
    "flow_weight": 0.0,
}


@dataclass
class Window:
    """A batch of windows: T pictures, the first `local` of them follow one another."""

    pictures: Tensor  # [B, T, 3, H, W] in [0, 1], as decoded
    target: Tensor  # the same, true
    mask: Tensor  # [B, T, 1, H, W] in [0, 1], 1 = wrong
    vectors: Tensor  # [B, 2, L - 1, 3, r, c], see cfc.motion
    local: int


class WindowStage:
    """Trains the full generator on windows, and on broken pictures among their real surroundings.

    loss: weights of the terms, see WEIGHTS for their names: hole and valid, L1 over all pictures; adversarial, what the
    discriminator says of the local pictures, restored inside the masks; perceptual (losses.perceptual) of the same;
    flow, that of the damaged pictures compared with what the first SPyNet of the run sees in the true ones. perceptual:
    path of VGG-16's weights. Raises ValueError for weights of terms that this network cannot have.
    """

    score = "psnr_restored"

    def __init__(
        self,
        network: RecoveryGenerator,
        runtime: Runtime,
        loss: Mapping[str, float] | None = None,
        discriminator: Mapping[str, object] | None = None,
        perceptual: str | None = None,
    ) -> None:
        check_keys("stages.recover.loss", loss or {}, tuple(WEIGHTS))
        self.weights = {**WEIGHTS, **(loss or {})}
        if discriminator is None:
            self.weights["adversarial_weight"] = 0.0
        self.multiple = network.multiple
        self.adversary: Adversary | None = None
        if self.weights["adversarial_weight"]:
            self.adversary = Adversary(runtime, **(discriminator or {}))  # type: ignore[arg-type]
        self.perceptual = PerceptualLoss(perceptual).to(runtime.device) if self.weights["perceptual_weight"] else None
        self.teacher: nn.Module | None = None
        if self.weights["flow_weight"]:
            if network.flow is None or not any(p.requires_grad for p in network.flow.parameters()):
                raise ValueError(
                    "loss.flow_weight is given, and the generator has no flow network that is trained: take 'flow' out of "
                    "cfc.frozen, or leave the weight out"
                )
            self.teacher = copy.deepcopy(network.flow).to(runtime.device).requires_grad_(False).eval()

    def losses(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """See Stage."""
        window, weights = as_window(batch), self.weights
        output = network(window.pictures, window.mask, window.local, vectors=window.vectors)
        terms = window_losses(
            output.pictures, window.target, window.mask, weights["hole_weight"], weights["valid_weight"]
        )
        composite, target = (x[:, : window.local] for x in (_composite(output.pictures, window), window.target))
        if self.adversary is not None:
            terms["adversarial"] = weights["adversarial_weight"] * self.adversary.generator_loss(composite, target)
        if self.perceptual is not None:
            distance = self.perceptual(composite.flatten(0, 1), target.flatten(0, 1))
            terms["perceptual"] = weights["perceptual_weight"] * distance
        if self.teacher is not None:
            found = output.flow_forward, output.flow_backward
            terms["flow"] = weights["flow_weight"] * flow_loss(found, self._true_flow(target))
        return terms

    def judge(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the PSNR (dB, RGB) of the local pictures, as decoded and as restored inside the masks."""
        window = as_window(batch)
        pictures = {"decoded": window.pictures, "restored": self._restored(network, window)}
        local = window.local
        return {f"psnr_{name}": psnr(shown[:, :local], window.target[:, :local]) for name, shown in pictures.items()}

    def show(self, network: nn.Module, batch: Batch) -> list[Tensor]:
        """Return the local picture with the largest mask, as decoded, as restored, and the true one."""
        window = as_window(batch)
        chosen = int(window.mask[0, : window.local].flatten(1).sum(1).argmax())
        return [x[:, chosen] for x in (window.pictures, self._restored(network, window), window.target)]

    def _restored(self, network: nn.Module, window: Window) -> Tensor:
        output = network(window.pictures, window.mask, window.local, vectors=window.vectors)
        restored = output.pictures.float()
        return window.pictures + (restored - window.pictures) * window.mask

    @torch.no_grad()
    def _true_flow(self, target: Tensor) -> tuple[Tensor, Tensor]:
        padded = pad_to_multiple(target * 2 - 1, self.multiple, "mirror")
        return WindowFlow()(self.teacher, padded, None)


def stage_for(name: str, network: nn.Module, settings: StageSettings, runtime: Runtime) -> Stage:
    """Return the stage called `name` that trains `network`; ValueError for settings that are of another network."""
    if settings.stacked and not getattr(network, "stack", False):
        raise ValueError(
            f"stages.{name}.stacked: this {type(network).__name__} does not start at a stack of the candidates; leave it out"
        )
    if isinstance(network, RecoveryGenerator) and name == "recover":
        return WindowStage(network, runtime, settings.loss, settings.discriminator, settings.perceptual)
    if settings.discriminator is not None or settings.perceptual is not None or settings.samples != (PICTURES,):
        raise ValueError(
            f"stages.{name}: discriminator, perceptual and samples other than {PICTURES!r} are for the stage 'recover' of a "
            f"RecoveryGenerator, the config trains {type(network).__name__}"
        )
    return STAGES[name](settings.loss)


def as_window(batch: Batch) -> Window:
    """Return a batch of either kind as windows.

    A picture with its surroundings becomes a window of local pictures of which it alone is masked; the motion between
    them is what the surroundings know, the others are their own truth.
    """
    if "pictures" in batch:
        vectors = batch["vectors"]
        return Window(batch["pictures"], batch["target"], batch["mask"], vectors, vectors.shape[2] + 1)
    pictures = batch["window"]
    target, mask = pictures.clone(), torch.zeros_like(pictures[:, :, :1])
    target[:, BEFORE], mask[:, BEFORE] = batch["target"], batch["mask"]
    return Window(pictures, target, mask, vectors_of_motion(batch["motion"], BEFORE), pictures.shape[1])


def _composite(restored: Tensor, window: Window) -> Tensor:
    """Return the truth, restored inside the masks: all that is not true is the generator's doing."""
    return window.target + (restored - window.target) * window.mask
