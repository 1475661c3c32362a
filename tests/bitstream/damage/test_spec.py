"""Models written down: as text, as JSON, and back."""

import json

import pytest

from b2scvr.bitstream.damage import (
    BRANCHES,
    BadSectors,
    BitErrors,
    CutModel,
    GilbertElliott,
    Independent,
    RtpLoss,
    Truncation,
    TsLoss,
    branch,
    parse_models,
    seed_of_stage,
)


@pytest.mark.parametrize(
    ("spec", "model"),
    [
        ("bscv", CutModel()),
        ("bscv:P=2,L=0.2,S=4096,seed=9", CutModel(2, position=0.2, length=4096, seed=9)),
        ("bscv:S=4096,legacy_nibbles=true", CutModel(length=4096, legacy_nibbles=True)),
        ("244096", branch("244096")),
        ("244096:gop=12,seed=3", CutModel(2, 12, 0.4, 2048, 3)),
        ("ber:rate=1e-5", BitErrors(Independent(1e-5))),
        ("ge:p=1e-6,r=1e-3", BitErrors(GilbertElliott(1e-6, 1e-3, 0, 0.5))),
        ("bits:p=0.1,r=0.2,good=0.01,bad=0.3,protect=sets+idr", BitErrors(GilbertElliott(0.1, 0.2, 0.01, 0.3), ("sets", "idr"))),
        ("rtp", RtpLoss()),
        ("rtp:p=0.01,r=0.3,mtu=1200,incomplete=drop", RtpLoss(GilbertElliott(0.01, 0.3, 0, 1), 1200, "drop")),
        ("ts:rate=0.02", TsLoss(Independent(0.02))),
        ("sectors:rate=0.5,size=512,fill=random", BadSectors(Independent(0.5), 512, "random")),
        ("truncate:fraction=0.25", Truncation(fraction=0.25)),
        ("truncate:byte=100", Truncation(byte=100)),
        ('{"model": "rtp", "parameters": {"rate": 0.5, "protect": ["sets"]}}', RtpLoss(Independent(0.5), protect=("sets",))),
    ],
)  # fmt: skip
def test_text_and_json(spec, model):
    assert parse_models([spec]) == [model]
    written = {"model": model.name, "parameters": json.loads(json.dumps(model.as_dict()))}
    assert parse_models([written], seed=77) == [model]  # its own seed stands in it


def test_all_branches_have_a_name():
    assert parse_models(list(BRANCHES), seed=0)[0] == BRANCHES["144096"]
    for name, model in zip(BRANCHES, parse_models(list(BRANCHES), seed=5), strict=True):
        assert model == branch(name, model.seed)


def test_seeds_and_defaults():
    models = parse_models(["bscv", "rtp:seed=4", "truncate:byte=1", "bscv:gop=5"], seed=7, defaults={"gop": 12})
    assert [getattr(model, "seed", None) for model in models] == [7, 4, None, seed_of_stage(7, 3)]
    assert (models[0].gop, models[3].gop) == (12, 5)
    assert len({seed_of_stage(seed, place) for seed in range(5) for place in range(1, 5)}) == 20
    assert seed_of_stage(7, 0) == 7
    with pytest.raises(ValueError, match="seed -1"):
        parse_models(["bscv"], seed=-1)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nothing", "unknown model 'nothing': known are bscv, bits"),
        ("rtp:speed=1", "rtp: unknown parameter 'speed': known are rate, p, r, good, bad, mtu"),
        ("rtp:channel=1", "unknown parameter 'channel'"),
        ("bscv:rate=1", "unknown parameter 'rate'"),
        ("rtp:mtu", "'mtu' has no value"),
        ("rtp:mtu=a", "mtu must be a whole number, not 'a'"),
        ("rtp:mtu=99.5", "mtu must be a whole number"),
        ("rtp:rate=much", "rate must be a number"),
        ("rtp:rate=0.1,p=0.1", "either rate, or p and r"),
        ("ge:p=0.1", "either rate, or p and r"),
        ("rtp:rate=2", r"must lie in \[0, 1\]"),
        ("bscv:legacy_nibbles=perhaps", "legacy_nibbles must be one of true"),
        ("bscv:S=0", "length 0 must"),
        ('{"model": "rtp", "parameters": {"incomplete": 3}}', "incomplete must be a word"),
        ('{"model": "rtp", "parameters": {"protect": 3}}', "protect must be words"),
        ('{"model": "rtp", "parameters": {"mtu": true}}', "mtu must be a whole number"),
        ('{"model": "rtp", "parameters": []}', "a model in JSON is"),
        ('{"parameters": {}}', "a model in JSON is"),
        ('{"model"', "Expecting"),
        (["rtp"], "a model in JSON is"),
    ],
)
def test_one_sentence_for_what_cannot_be_read(spec, message):
    with pytest.raises(ValueError, match=message):
        parse_models([spec])
