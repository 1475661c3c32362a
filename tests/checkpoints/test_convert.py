"""Conversion of checkpoints: the report names what does not fit."""

import pytest
import torch

from b2scvr.checkpoints.convert import convert, reinitialised, unwrap
from b2scvr.checkpoints.keys import KeyMap

KEYS = KeyMap(rules=((r"old\.(\w+)", r"new.\1"),), computed=("index",), unused=(r"head\..+",))
EXPECTED = {"new.weight": torch.empty(2, 3, device="meta"), "new.bias": torch.empty(2, device="meta")}


def published(**changes):
    weights = {
        "old.weight": torch.ones(2, 3),
        "old.bias": torch.zeros(2),
        "index": torch.arange(3),
        "head.w": torch.ones(1),
    }
    return {**weights, **changes}


def test_what_fits_is_renamed():
    weights, report = convert(published(), KEYS, EXPECTED)
    assert report.fits
    assert set(weights) == {"new.weight", "new.bias"}
    assert "2 tensors fit; 1 are computed here and 1 are read by nobody" in report.text()


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"stray": torch.ones(1)}, "unexpected", "stray"),
        ({"old.more": torch.ones(1)}, "unexpected", "new.more"),
        ({"old.weight": torch.ones(3, 3)}, "misshapen", "new.weight is [3, 3], the network has [2, 3]"),
        ({"old.bias": torch.tensor((0.0, float("nan")))}, "not_finite", "new.bias"),
        ({"old.bias": torch.tensor((0.0, float("inf")))}, "not_finite", "new.bias"),
    ],
)
def test_what_does_not_fit_is_named(changes, kind, said):
    _, report = convert(published(**changes), KEYS, EXPECTED)
    assert not report.fits
    assert getattr(report, kind) == [said]
    assert f"1 {kind.replace('_', ' ')}\n  {said}" in report.text()


def test_missing_is_named():
    weights = published()
    del weights["old.bias"]
    _, report = convert(weights, KEYS, EXPECTED)
    assert not report.fits and report.missing == ["new.bias"]


def test_long_lists_are_cut():
    _, report = convert(published(**{f"stray.{i}": torch.ones(1) for i in range(50)}), KEYS, EXPECTED)
    assert "50 unexpected" in report.text() and "and 30 more" in report.text()


def test_data_parallel_names_lose_their_prefix():
    assert set(unwrap({"module.a": torch.ones(1), "module.b": torch.ones(1)})) == {"a", "b"}
    assert set(unwrap({"module.a": torch.ones(1), "b": torch.ones(1)})) == {"module.a", "b"}


def test_freshly_drawn_backbones_are_told_from_trained_ones():
    layer = {"trunk.a.weight": 0.02 * torch.randn(200, 200), "trunk.a.bias": torch.zeros(200)}
    assert reinitialised(layer, "trunk")
    assert not reinitialised(layer, "embedder")
    assert not reinitialised(layer | {"trunk.a.bias": torch.full((200,), 0.1)}, "trunk")
    assert not reinitialised(layer | {"trunk.a.weight": 0.05 * torch.randn(200, 200)}, "trunk")
    kept = {"trunk.b.in_proj_weight": torch.randn(9, 9), "trunk.b.in_proj_bias": torch.ones(9)}
    assert reinitialised(layer | kept, "trunk")
