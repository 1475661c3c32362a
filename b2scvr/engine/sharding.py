"""A network spread over processes: each keeps a share of every weight, gradient and moment (FSDP2, `fully_shard`).

Zhao et al., PyTorch FSDP, VLDB 2023. States are gathered whole, so a checkpoint fits any number of processes, and
networks that are not spread.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard

_GATHER = StateDictOptions(full_state_dict=True, cpu_offload=True)
_SCATTER = StateDictOptions(full_state_dict=True)


def shard(network: nn.Module, mesh: DeviceMesh, units: Sequence[str] = ()) -> None:
    """Spread `network` over the processes of `mesh`, in place.

    units: regular expressions for whole names of modules that are gathered one at a time, when their `forward` is called;
    the rest is gathered for the whole of the network's forward and backward pass. A module whose parameters are used
    without calling it cannot be a unit. ValueError for an expression that matches no module.
    """
    network._scalars = _give_scalars_an_axis(network)  # type: ignore[assignment]
    modules = dict(network.named_modules())
    for pattern in units:
        found = [module for name, module in modules.items() if name and re.fullmatch(pattern, name)]
        if not found:
            raise ValueError(
                f"train.shard_units: no module is called {pattern!r}; some are {', '.join([*modules][1:6])}"
            )
        for module in reversed(found):  # inner ones first
            fully_shard(module, mesh=mesh, reshard_after_forward=True)
    # Gathered weights are given up after a pass forward too: averages are taken of the parts, between any two passes.
    fully_shard(network, mesh=mesh, reshard_after_forward=True)


def is_sharded(network: nn.Module) -> bool:
    """Whether `network` is spread over processes."""
    return isinstance(network, FSDPModule)


def network_state(network: nn.Module) -> dict[str, Any]:
    """Return the whole state of `network`; of a spread one in the first process only. All processes must call it."""
    if not is_sharded(network):
        return network.state_dict()
    return _reshaped(network, get_model_state_dict(network, options=_GATHER), ())


def optimizer_state(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the whole state of the optimiser of `network`, as `network_state` does."""
    if is_sharded(network):
        return dict(get_optimizer_state_dict(network, optimizer, options=_GATHER))
    return optimizer.state_dict()


def load_network_state(network: nn.Module, state: Mapping[str, Any]) -> None:
    """Give `network` a state of `network_state`; all processes have it."""
    if is_sharded(network):
        set_model_state_dict(network, _reshaped(network, state, (1,)), options=_SCATTER)
    else:
        network.load_state_dict(state)


def load_optimizer_state(network: nn.Module, optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Give the optimiser of `network` a state of `optimizer_state`, of this or of the other way to share a network.

    All processes have it. ValueError when it is of other parameters.
    """
    moments = _by_name(network, optimizer, state)
    if is_sharded(network):
        vectors = {name: _reshaped_moments(network, name, values, (1,)) for name, values in moments.items()}
        groups = [{**group, "params": names} for group, names in _named_groups(network, optimizer)]
        spread: dict[str, Any] = {"state": vectors, "param_groups": groups}
        set_optimizer_state_dict(network, optimizer, spread, options=_SCATTER)
        return
    numbers = {name: number for number, name in enumerate(_names(network, optimizer))}
    own = optimizer.state_dict()
    own["state"] = {numbers[name]: values for name, values in moments.items()}
    optimizer.load_state_dict(own)


def _names(network: nn.Module, optimizer: torch.optim.Optimizer) -> list[str]:
    """Return the names of the parameters of `optimizer` in the order in which its state numbers them."""
    return [name for _, names in _named_groups(network, optimizer) for name in names]


def _named_groups(network: nn.Module, optimizer: torch.optim.Optimizer) -> list[tuple[dict[str, Any], list[str]]]:
    """Return the settings of each group of `optimizer`, and the names of its parameters."""
    name_of = {parameter: name for name, parameter in network.named_parameters()}
    return [
        ({key: value for key, value in group.items() if key != "params"}, [name_of[p] for p in group["params"]])
        for group in optimizer.param_groups
    ]


def _by_name(
    network: nn.Module, optimizer: torch.optim.Optimizer, state: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return the moments in `state` by parameter's name; a network that is not spread numbers its parameters.

    ValueError when they are not those of `optimizer`.
    """
    names = _names(network, optimizer)
    moments = dict(state["state"])
    if all(isinstance(key, int) for key in moments):
        if any(number >= len(names) for number in moments):
            raise ValueError(f"the checkpoint has moments of {len(moments)} parameters, the optimiser {len(names)}")
        return {names[number]: values for number, values in moments.items()}
    if unknown := sorted(moments.keys() - set(names)):
        raise ValueError(f"the checkpoint has moments of {unknown[0]!r}, which is not trained")
    return {name: _reshaped_moments(network, name, values, ()) for name, values in moments.items()}


def _reshaped_moments(
    network: nn.Module, name: str, moments: Mapping[str, Any], shape: tuple[int, ...]
) -> dict[str, Any]:
    """Return the moments of a parameter, those of a scalar in `shape`; the count of steps is a scalar in any case."""
    if name not in _scalar_names(network):
        return dict(moments)
    return {key: value if key == "step" else value.reshape(shape) for key, value in moments.items()}


def _scalar_names(network: nn.Module) -> set[str]:
    """Return the names of parameters that have no axis, or had none before the network was spread."""
    spread = set(getattr(network, "_scalars", ()))
    return spread | {name for name, parameter in network.named_parameters() if parameter.ndim == 0}


def _give_scalars_an_axis(network: nn.Module) -> list[str]:
    """Make parameters of no axis vectors of one element, as `fully_shard` wants them; return their names."""
    names = [name for name, parameter in network.named_parameters() if parameter.ndim == 0]
    for name in names:
        owner, _, own_name = name.rpartition(".")
        scalar = network.get_parameter(name)
        vector = nn.Parameter(scalar.detach().reshape(1), requires_grad=scalar.requires_grad)
        network.get_submodule(owner).register_parameter(own_name, vector)
    return names


def _reshaped(network: nn.Module, state: Mapping[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
    """Return the state with the network's scalars in `shape`: () outside, (1,) in a spread network."""
    scalars = getattr(network, "_scalars", ())
    return {name: value.reshape(shape) if name in scalars else value for name, value in state.items()}
