"""Where training runs: device, processes, number format. The only file that knows accelerate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from accelerate import Accelerator
from torch import Tensor, nn

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Runtime:
    """One process of a training run: alone, or one of several started by torchrun or accelerate launch.

    precision: "fp32" or "bf16" (automatic mixed precision). device: "auto" or "cpu".
    """

    def __init__(self, precision: str = "fp32", device: str = "auto") -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
        if device not in ("auto", "cpu"):
            raise ValueError(f"device must be auto or cpu, got {device!r}; choose a GPU by CUDA_VISIBLE_DEVICES")
        self._accelerator = Accelerator(cpu=device == "cpu")
        self._number_type = PRECISIONS[precision]

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return self._accelerator.device

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""
        return self._accelerator.process_index

    @property
    def world(self) -> int:
        """How many processes train together."""
        return self._accelerator.num_processes

    @property
    def is_main(self) -> bool:
        """Whether this process writes logs and checkpoints."""
        return self._accelerator.is_main_process

    def prepare(self, network: nn.Module) -> nn.Module:
        """Return `network` on this process's device, its gradients averaged over all processes."""
        return self._accelerator.prepare_model(network)

    def autocast(self) -> AbstractContextManager[object]:
        """Compute in the run's number format inside."""
        if self._number_type == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self._number_type)

    @contextmanager
    def accumulating(self, network: nn.Module, last: bool) -> Iterator[None]:
        """Around one micro-batch: gradients cross processes with the last one only."""
        if last:
            yield
        else:
            with self._accelerator.no_sync(network):
                yield

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of `loss`."""
        self._accelerator.backward(loss)

    def mean(self, values: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the mean of each scalar over all processes."""
        if not values:
            return {}
        stacked = torch.stack([value.detach().float() for value in values.values()]).to(self.device)
        reduced = self._accelerator.reduce(stacked, "mean")
        return dict(zip(values, reduced.tolist(), strict=True))

    def any(self, flag: bool) -> bool:
        """Return whether `flag` holds in any process, so that all decide alike."""
        if self.world == 1:
            return flag
        return bool(self._accelerator.reduce(torch.tensor([float(flag)], device=self.device), "sum").item() > 0)

    def wait(self) -> None:
        """Wait until all processes are here."""
        self._accelerator.wait_for_everyone()
