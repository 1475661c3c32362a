"""Several models in a row, where their changes lie in the undamaged stream, and changes made again."""

import json

import pytest

from b2scvr.bitstream.damage import (
    BadSectors,
    BitErrors,
    CutModel,
    Edit,
    GilbertElliott,
    Independent,
    RtpLoss,
    Truncation,
    TsLoss,
    apply_changes,
    damage,
    damage_all,
    damage_manifest,
    replay,
)

CHAIN = [
    BitErrors(GilbertElliott(1e-4, 1e-2, 0, 0.5), seed=1),
    RtpLoss(Independent(0.2), mtu=300, seed=2),
    CutModel(2, gop=6, length=77, seed=3),
    CutModel(1, length=66, seed=4, legacy_nibbles=True),
    BadSectors(Independent(0.1), size=512, fill="random", seed=5),
    BadSectors(Independent(0.1), size=512, seed=6),
    TsLoss(Independent(0.1), seed=7),
    Truncation(fraction=0.9),
]


def test_each_model_damages_what_the_one_before_left(clean_stream):
    damaged, applied = damage_all(clean_stream, CHAIN)
    data = clean_stream
    for entry, model in zip(applied, CHAIN, strict=True):
        assert entry.model == model and entry.changes
        data = apply_changes(data, entry.changes)
    assert data == damaged
    ends = [Truncation(fraction=0.5), BadSectors(Independent(1), size=100)]
    assert damage_all(clean_stream, ends)[0] == bytes(len(clean_stream) // 2)
    again, order = damage_all(clean_stream, [CutModel(length=500), Truncation(byte=1000)])
    assert damage_all(clean_stream, [Truncation(byte=1000), CutModel(length=500)])[0] != again and len(order) == 2


def test_changes_of_later_models_are_placed_in_the_undamaged_stream(clean_stream):
    """The first half of the bytes is lost, then the rest: the later change lies where those bytes came from."""
    slices = [change.slice for change in damage(clean_stream, Truncation(byte=0))[1]]
    sectors = BadSectors(Independent(1), size=len(clean_stream))
    whole = damage(clean_stream, sectors)[1]
    assert [change.slice for change in whole] == slices
    lost = RtpLoss(Independent(0.4), incomplete="drop", seed=1, protect=("sets",))
    _, (first, second) = damage_all(clean_stream, [lost, sectors])
    gone = {change.slice for change in first.changes}
    assert 3 < len(gone) < 24 and {change.slice for change in second.changes} == set(slices) - gone
    assert second.changes[0].offset == 0  # counted in what the model was given
    units = [(change.access_unit, change.slice) for change in second.changes if change.slice >= 0]
    assert units == [(number, number) for number in sorted(set(range(24)) - gone)]


@pytest.mark.parametrize("models", [[model] for model in CHAIN] + [CHAIN], ids=lambda models: str(len(models)))
def test_a_manifest_replays(models, clean_stream):
    damaged, applied = damage_all(clean_stream, models)
    manifest = json.loads(json.dumps(damage_manifest(clean_stream, damaged, applied)))
    assert replay(clean_stream, manifest) == damaged != clean_stream
    assert [entry["model"] for entry in manifest["models"]] == [model.name for model in models]
    assert manifest["clean"]["bytes"] == len(clean_stream) and set(manifest["versions"]) == {
        "b2scvr",
        "python",
        "numpy",
    }
    manifest["models"][-1]["changes"].pop()
    with pytest.raises(ValueError, match="another file"):
        replay(clean_stream, manifest)


def test_manifests_that_do_not_fit(clean_stream):
    damaged, applied = damage_all(clean_stream, [CutModel(length=50)])
    manifest = damage_manifest(clean_stream, damaged, applied)
    with pytest.raises(ValueError, match="another clean file"):
        replay(clean_stream[:-1], manifest)
    for wrong in ({}, [], manifest | {"models": [{}]}, manifest | {"models": [{"changes": [{"offset": "1"}]}]}):
        with pytest.raises(ValueError, match="no manifest"):
            replay(clean_stream, wrong)


def test_edits_that_do_not_fit():
    assert apply_changes(b"abcdef", [Edit(1, 2), Edit(3, 2, b"x"), Edit(5, 1, b"y")]) == b"axy"
    for edits in ([Edit(4, 3)], [Edit(2, 2), Edit(3, 1)], [Edit(-1, 1)]):
        with pytest.raises(ValueError, match="fits no"):
            apply_changes(b"abcdef", edits)


def test_nothing_is_left(clean_stream):
    """Models do not fail on what others left of a stream."""
    assert damage_all(clean_stream, [Truncation(byte=0), *CHAIN])[0] == b""
    assert damage_all(clean_stream, [BitErrors(Independent(0.5)), *CHAIN])[0]
