"""Schedules measured side by side: the clip that is made up, and what is told. No figure is checked: the machine decides."""

import json

import pytest

from b2scvr.engine import recover_benchmark
from b2scvr.engine.recover_benchmark import (
    RecoverySetting,
    broken_pictures,
    damaged_pictures,
    made_up_clip,
    measure_schedule,
    measure_schedules,
)

SMALL = dict(
    encoder=dict(stem=(4, 4, 8, 8), tail=((8, 1), (8, 2))),
    parts=(),
    flow=dict(widths=(4,), levels=2),
    propagation=dict(groups=4, depth=1),
    transformer=dict(dim=8, depth=1, heads=2, window=(2, 3), expand=(1, 1), focal_window=(3, 3), ffn_channels=2),
    decoder=dict(width=4),
)


@pytest.fixture
def setting(tmp_path):
    """Make a setting of a network with few channels."""

    def make(frames=5, damaged=1.0, **changes):
        config = tmp_path / "config.py"
        config.write_text("cfc = dict(type='RecoveryGenerator')\n")
        given = dict(config=config, checkpoint=None, frames=frames, size=(36, 24), damaged=damaged, overrides=SMALL)
        return RecoverySetting(**{**given, **changes})

    return make


def test_damage_is_at_the_end_of_each_group_of_pictures(setting):
    it = setting(frames=40, damaged=0.3, broken=2)
    assert damaged_pictures(it) == [11, 12, 13, 14, 15, 27, 28, 29, 30, 31]
    assert broken_pictures(it) == [11, 12, 27, 28]
    masked = [index for index, (_, mask) in enumerate(made_up_clip(it)) if mask.any()]
    assert masked == damaged_pictures(it)
    assert damaged_pictures(setting(damaged=0.0)) == broken_pictures(setting(damaged=0.0)) == []


@pytest.mark.parametrize("schedule", ["fast", "splice"])
def test_one_schedule(setting, schedule):
    found = measure_schedule(setting(threads=1), schedule)
    assert found.schedule == schedule and found.restored == (1 if schedule == "splice" else 5)
    assert found.peak_bytes >= found.loaded_bytes > 0 and found.cpu_seconds > 0


def test_schedules_side_by_side(setting, monkeypatch):
    monkeypatch.setattr(recover_benchmark, "_in_own_process", measure_schedule)
    found = measure_schedules(setting(), ["published", "exact", "splice"])
    json.dumps(found)
    assert set(found["measured"]) == {"published", "exact", "splice"}
    assert set(found["ratios"]) == set(found["memory"]) == {"exact", "splice"}
    assert found["difference"].keys() == {"exact"} and found["difference"]["exact"] < 1e-3
    assert found["psnr"]["exact"] > 80


def test_a_clip_without_damage_is_not_measured(setting):
    with pytest.raises(ValueError, match=r"no picture of the first 6 is damaged.*at least 16 frames"):
        measure_schedules(setting(frames=6, damaged=0.5), ["exact"])


def test_unknown_schedules_and_networks_are_named(setting, tmp_path):
    with pytest.raises(ValueError, match="one of published, exact, fast, splice, got slow"):
        measure_schedules(setting(), ["exact", "slow"])
    config = tmp_path / "other.py"
    config.write_text("cfc = dict(type='RecoveryNetwork')\n")
    with pytest.raises(ValueError, match="schedules are of RecoveryGenerator, not of RecoveryNetwork"):
        measure_schedule(setting(config=config, overrides={}), "exact")
