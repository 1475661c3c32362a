"""The other side of adversarial training: a discriminator, its optimiser, and when it learns."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from b2scvr.engine.runtime import Runtime
from b2scvr.layers.temporal_gan import TemporalPatchDiscriminator
from b2scvr.losses.adversarial import discriminator_hinge, generator_hinge


class Adversary:
    """A T-PatchGAN discriminator that learns after each step of the generator, from the videos of that step.

    lr, betas: of its Adam optimiser, which lives as long as the run (the published code makes a new one each step);
    clip_norm: of its gradient; discriminator: arguments of TemporalPatchDiscriminator. The same number of processes
    start with the same weights, as the network's own seed is set before it is built.
    """

    def __init__(
        self,
        runtime: Runtime,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.0, 0.99),
        clip_norm: float = 1.0,
        **discriminator: object,
    ) -> None:
        if lr <= 0:
            raise ValueError(f"discriminator.lr must be above 0, got {lr}")
        self.runtime, self.lr, self.clip_norm = runtime, lr, clip_norm
        self.network: nn.Module = TemporalPatchDiscriminator(**discriminator).to(runtime.device)  # type: ignore[arg-type]
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=lr, betas=(betas[0], betas[1]))
        self.videos: list[tuple[Tensor, Tensor]] = []

    def generator_loss(self, fake: Tensor, real: Tensor) -> Tensor:
        """Return what the generator loses by its videos [B, T, 3, H, W] in [0, 1], and keep both for `update`."""
        self.videos.append((fake.detach(), real))
        self.network.requires_grad_(False)  # its gradient is not wanted now
        return generator_hinge(self.network(fake * 2 - 1))

    def update(self, factor: float) -> dict[str, Tensor]:
        """Let the discriminator learn from what it was shown since the last time; return its losses, named.

        factor: of its learning rate. A step without a finite gradient changes nothing.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * factor
        self.network.requires_grad_(True)
        self.optimizer.zero_grad(set_to_none=True)
        sums = torch.zeros(2, device=self.runtime.device)
        for fake, real in self.videos:
            with self.runtime.autocast():
                terms = torch.stack(discriminator_hinge(self.network(real * 2 - 1), self.network(fake * 2 - 1)))
            self.runtime.backward(terms.sum() / (2 * len(self.videos)))
            sums += terms.detach() / len(self.videos)
        self.videos.clear()
        parameters = list(self.network.parameters())
        self.runtime.average_gradients(parameters)
        if torch.isfinite(torch.nn.utils.clip_grad_norm_(parameters, self.clip_norm)):
            self.optimizer.step()
        return {"discriminator_real": sums[0], "discriminator_fake": sums[1]}

    def state_dict(self) -> dict[str, object]:
        """Return all that a resumed run needs."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, dict]) -> None:
        """Take up a saved state."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
