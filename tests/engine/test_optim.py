"""Schedule, parameter groups, averaged weights: known answers."""

import pytest
import torch
from torch import nn

from b2scvr.engine.optim import AveragedWeights, freeze, make_optimizer, schedule, set_learning_rate


def test_schedule_rises_then_falls_along_a_cosine():
    values = [schedule(step, steps=110, warmup=10, final=0.1) for step in range(111)]
    assert values[0] == pytest.approx(0.1) and values[9] == values[10] == 1
    assert values[60] == pytest.approx(0.55)
    assert values[110] == pytest.approx(0.1)
    assert values[10:] == sorted(values[10:], reverse=True)


def test_scales_and_frozen_parameters_by_pattern():
    network = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(3, 1))
    freeze(network, [r"0\.bi.s"])
    optimizer = make_optimizer(network, 1.0, 0.1, {r"2\..*": 0.5, r".*": 1.0})
    set_learning_rate(optimizer, 0.2)
    found = {id(p): (group["lr"], group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]}
    named = {name: found.get(id(p)) for name, p in network.named_parameters()}
    assert named == {
        "0.weight": (0.2, 0.1), "0.bias": None, "1.weight": (0.2, 0.0), "1.bias": (0.2, 0.0),
        "2.weight": (0.1, 0.1), "2.bias": (0.1, 0.0),
    }  # fmt: skip
    assert not network[0].bias.requires_grad


def test_patterns_that_match_nothing_are_refused_with_the_nearest_name():
    network = nn.ModuleDict({"backbone": nn.Linear(1, 1), "head": nn.Linear(1, 1)})
    with pytest.raises(ValueError, match=r"no parameter is called 'backbon\\\\..\*'; the nearest name is 'backbone'"):
        freeze(network, [r"backbon\..*"])
    with pytest.raises(ValueError, match=r"the nearest name is 'head\.weight'"):
        make_optimizer(network, 1.0, 0.0, {"heads.weight": 2.0})
    with pytest.raises(ValueError, match="is no regular expression"):
        freeze(network, ["*"])
    with pytest.raises(ValueError, match="nothing to train"):
        freeze(network, [".*"])
    with pytest.raises(ValueError, match="no parameter"):
        freeze(network, ["head"])  # a pattern is for the whole name


def test_the_step_schedule_falls_at_its_milestones():
    values = [schedule(step, 10, 2, 0.0, milestones=(4, 7), factor=0.5) for step in range(10)]
    assert values == [0.5, 1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]


def test_averaged_weights_follow_their_recurrence():
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    with torch.no_grad():
        network[0].weight.fill_(0.0)
    average = AveragedWeights(network, decay=0.5)
    with torch.no_grad():
        network[0].weight.fill_(1.0)
        network[1].running_mean.fill_(3.0)
    average.update(network, step=0)  # keeps 1/10
    assert average.network[0].weight.item() == pytest.approx(0.9)
    average.update(network, step=1000)  # keeps 0.5
    assert average.network[0].weight.item() == pytest.approx(0.95)
    assert average.network[1].running_mean.item() == 3
    assert not average.network.training
