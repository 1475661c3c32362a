"""Moments by number and by name: what a spread network's checkpoint is to one that is not spread."""

import pytest
import torch

from b2scvr.engine.optim import make_optimizer
from b2scvr.engine.sharding import load_optimizer_state, optimizer_state


@pytest.fixture
def trained(toy_network):
    """A network and its optimiser after a step."""
    optimizer = make_optimizer(toy_network, 1e-2, 0.01, {"second.*": 0.5})
    toy_network(torch.rand(2, 3, 8, 8)).square().mean().backward()
    optimizer.step()
    return toy_network, optimizer


def named(network, optimizer):
    """The state as a spread network gives it: by name, scalars as vectors of one element."""
    name_of = {parameter: name for name, parameter in network.named_parameters()}
    order = [name_of[parameter] for group in optimizer.param_groups for parameter in group["params"]]
    moments = optimizer_state(network, optimizer)["state"]
    return {
        "state": {
            order[number]: {
                key: value.reshape(1) if order[number] == "gain" and key != "step" else value
                for key, value in values.items()
            }
            for number, values in moments.items()
        },
        "param_groups": [],
    }


def test_moments_by_name_are_those_by_number(trained):
    network, optimizer = trained
    before = optimizer_state(network, optimizer)
    fresh = make_optimizer(network, 1e-2, 0.01, {"second.*": 0.5})
    load_optimizer_state(network, fresh, named(network, optimizer))
    after = fresh.state_dict()
    assert before["param_groups"] == after["param_groups"] and before["state"].keys() == after["state"].keys()
    for number, moments in before["state"].items():
        assert all(torch.equal(moments[key], after["state"][number][key]) for key in moments), number


def test_moments_of_other_parameters_are_refused(trained):
    network, optimizer = trained
    state = named(network, optimizer)
    state["state"]["third.weight"] = state["state"].pop("second.weight")
    with pytest.raises(ValueError, match=r"moments of 'third\.weight', which is not trained"):
        load_optimizer_state(network, optimizer, state)
    numbered = optimizer_state(network, optimizer)
    numbered["state"] = {**numbered["state"], 9: numbered["state"][0]}
    with pytest.raises(ValueError, match="moments of 8 parameters, the optimiser 7"):
        load_optimizer_state(network, optimizer, numbered)
