"""Kinds of damage by weight: reproducible, all of them drawn, all of them understood by the bitstream layer."""

from collections import Counter

import numpy as np
import pytest

from b2scvr.bitstream.damage import (
    BadSectors,
    BitErrors,
    CutModel,
    GilbertElliott,
    Independent,
    RtpLoss,
    Truncation,
    TsLoss,
    parse_models,
)
from b2scvr.data.damage_mix import DAMAGE_WEIGHTS, KINDS, check_weights, draw_damage, parse_weights

MODELS = {
    "bscv": CutModel, "bits": BitErrors, "bursts": BitErrors, "rtp": RtpLoss, "ts": TsLoss, "sectors": BadSectors,
    "truncate": Truncation,
}  # fmt: skip


def test_every_kind_is_a_model_of_the_bitstream_layer():
    assert set(DAMAGE_WEIGHTS) == set(KINDS) == set(MODELS)
    rng = np.random.default_rng(0)
    for name, model in MODELS.items():
        drawn = [parse_models([draw_damage(rng, {name: 1})], seed, {"gop": 12})[0] for seed in range(30)]
        assert all(type(found) is model for found in drawn) and len({repr(found) for found in drawn}) > 10
        if model is not CutModel and model is not Truncation:
            assert all(found.protect == ("sets",) for found in drawn)


def test_packets_are_lost_alone_and_in_bursts_and_a_receiver_does_what_it_may():
    rng = np.random.default_rng(1)
    drawn = [parse_models([draw_damage(rng, {"rtp": 1})])[0] for _ in range(200)]
    assert {type(model.channel) for model in drawn} == {Independent, GilbertElliott}
    assert {model.incomplete for model in drawn} == {"prefix", "drop", "join"}
    rates = [
        m.channel.rate if isinstance(m.channel, Independent) else m.channel.p / (m.channel.p + m.channel.r)
        for m in drawn
    ]
    assert 0.003 <= min(rates) < 0.005 and 0.035 < max(rates) <= 0.0501


def test_weights_decide_and_the_generator_repeats():
    weights = {"rtp:rate=0.01": 3, "144096": 1, "ts": 0}
    drawn = [draw_damage(np.random.default_rng(seed), weights) for seed in range(400)]
    assert drawn == [draw_damage(np.random.default_rng(seed), weights) for seed in range(400)]
    counts = Counter(drawn)
    assert set(counts) == {"rtp:rate=0.01", "144096"} and 2.2 < counts["rtp:rate=0.01"] / counts["144096"] < 4.2


def test_weights_on_a_command_line():
    assert parse_weights(["rtp*3", "bscv", "rtp:rate=0.01*0.5"]) == {"rtp": 3.0, "bscv": 1.0, "rtp:rate=0.01": 0.5}


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "no kind has a weight above 0"),
        ({"rtp": 0.0}, "no kind has a weight above 0"),
        ({"rtp": -1.0, "ts": 2.0}, "weight of 'rtp' must be a number from 0 on, got -1"),
        ({"burst": 1.0}, "'burst' is no kind .did you mean 'bursts'"),
        ({"rtp:rat=1": 1.0}, "unknown parameter 'rat'"),
    ],
)
def test_nonsense_is_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        check_weights(weights)


def test_a_weight_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="'x' is no number"):
        parse_weights(["rtp*x"])
