"""Where training runs: device, processes, number format. The only file that knows accelerate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor

from b2scvr.engine.sharding import is_sharded, shard

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
PARALLEL = ("ddp", "fsdp")


class Runtime:
    """One process of a training run: alone, or one of several started by torchrun or accelerate launch.

    precision: "fp32" or "bf16" (automatic mixed precision). device: "auto" or "cpu". parallel: how several processes share
    a network: "ddp", each has all of it, or "fsdp", each has a part of it (see `sharding.shard` for shard_units).
    """

    def __init__(
        self, precision: str = "fp32", device: str = "auto", parallel: str = "ddp", shard_units: Sequence[str] = ()
    ) -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
        if device not in ("auto", "cpu"):
            raise ValueError(f"device must be auto or cpu, got {device!r}; choose a GPU by CUDA_VISIBLE_DEVICES")
        if parallel not in PARALLEL:
            raise ValueError(f"parallel must be one of {', '.join(PARALLEL)}, got {parallel!r}")
        # Looking for unused parameters keeps DDP's buckets as they are from the first step on; otherwise it rearranges them
        # after it, and a resumed run of three processes or more would add gradients up in another order for one step.
        unchanging = DistributedDataParallelKwargs(find_unused_parameters=True)
        self._accelerator = Accelerator(cpu=device == "cpu", kwargs_handlers=[unchanging])
        self._shards = parallel == "fsdp" and self.world > 1
        self._shard_units = tuple(shard_units)
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
        """Return what is called in training: `network` on this process's device, gradients averaged over all processes."""
        if self._shards:
            self.spread(network)
            return network
        return self._accelerator.prepare_model(network)

    def spread(self, network: nn.Module) -> None:
        """Spread `network` over the processes in place, where the run does so; otherwise leave it as it is."""
        if self._shards:
            shard(network, init_device_mesh(self.device.type, (self.world,)), self._shard_units)

    def share_buffers(self, network: nn.Module) -> None:
        """Give the buffers of a network that is spread those of the first process, as DDP does before each pass."""
        if is_sharded(network):
            for buffer in network.buffers():
                torch.distributed.broadcast(buffer, 0)

    def autocast(self) -> AbstractContextManager[object]:
        """Compute in the run's number format inside."""
        if self._number_type == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self._number_type)

    @contextmanager
    def accumulating(self, network: nn.Module, last: bool) -> Iterator[None]:
        """Around one micro-batch: gradients cross processes with the last one only."""
        if is_sharded(network):
            network.set_requires_gradient_sync(last)  # type: ignore[operator]
            yield
        elif last:
            yield
        else:
            with self._accelerator.no_sync(network):
                yield

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of `loss`."""
        self._accelerator.backward(loss)

    def clip(self, parameters: Sequence[nn.Parameter], norm: float) -> Tensor:
        """Shorten the gradient of `parameters` to `norm` and return its norm before that, the same in all processes."""
        found = torch.nn.utils.clip_grad_norm_(parameters, norm)
        return found.full_tensor() if isinstance(found, DTensor) else found

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Average the gradients of parameters that all processes hold, for networks that `prepare` was not given."""
        if self.world > 1:
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad.copy_(self._accelerator.reduce(parameter.grad, "mean"))  # type: ignore[arg-type]

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

    def agrees(self, number: float) -> bool:
        """Return whether `number` is the same in all processes."""
        if self.world == 1:
            return True
        mine = torch.tensor([number], dtype=torch.float64, device=self.device)
        return bool((self._accelerator.gather(mine) == mine).all().item())

    def wait(self) -> None:
        """Wait until all processes are here."""
        self._accelerator.wait_for_everyone()
