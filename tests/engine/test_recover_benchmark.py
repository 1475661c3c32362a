"""Schedules measured side by side: the clip that is made up, and what is told. No figure is checked: the machine decides."""

import json
import random

import numpy as np
import pytest

from b2scvr.cfc.generator import PARTS
from b2scvr.engine import recover_benchmark
from b2scvr.engine.recover_benchmark import (
    GOP,
    Measured,
    RecoverySetting,
    broken_pictures,
    damage_of_branch,
    damaged_pictures,
    made_up_clip,
    measure_parts,
    measure_schedule,
    measure_schedules,
)


@pytest.fixture
def setting(tmp_path, small_generator):
    """Make a setting of a network with few channels."""

    def make(frames=5, damaged=1.0, **changes):
        config = tmp_path / "config.py"
        config.write_text("cfc = dict(type='RecoveryGenerator')\n")
        given = dict(config=config, checkpoint=None, frames=frames, size=(36, 24), damaged=damaged)
        return RecoverySetting(**{**given, "overrides": small_generator, **changes})

    return make


def test_damage_is_at_the_end_of_each_group_of_pictures(setting):
    it = setting(frames=40, damaged=0.3, broken=2)
    assert damaged_pictures(it) == [11, 12, 13, 14, 15, 27, 28, 29, 30, 31]
    assert broken_pictures(it) == [11, 12, 27, 28]
    masked = [index for index, (_, mask) in enumerate(made_up_clip(it)) if mask.any()]
    assert masked == damaged_pictures(it)
    sparse = setting(frames=40, damaged=0.1, every=2)
    assert damaged_pictures(sparse) == [14, 15] and broken_pictures(sparse) == [14]
    assert damaged_pictures(setting(damaged=0.0)) == broken_pictures(setting(damaged=0.0)) == []


@pytest.mark.parametrize(("name", "pictures", "broken"), [("144096", 8, 1), ("244096", 11, 2), ("444096", 14, 4)])
def test_damage_of_a_branch_is_its_average(setting, name, pictures, broken):
    """Drawn at random, P of 16, as the damage model draws them: from the first of them on all are damaged."""
    kind = damage_of_branch(name)
    draw = random.Random(0)
    runs = [GOP - min(draw.sample(range(GOP), broken)) for _ in range(4000)]
    assert kind["damaged"] * GOP == pytest.approx(np.mean(runs), abs=0.2)
    it = setting(frames=GOP, **kind)
    assert len(damaged_pictures(it)) == pictures and len(broken_pictures(it)) == broken
    assert damage_of_branch("184096")["right"] == 0.8


def test_rows_that_are_right(setting):
    for _, mask in made_up_clip(setting(right=0.25)):
        assert not mask[:6].any() and mask[6:].all()


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


def test_the_parts_of_a_window(setting):
    found = measure_parts(setting(threads=1))
    parts = set(PARTS) - {"trunk", "embedder", "augmentation", "completion", "experts"}  # which this network has not
    assert set(found) == {*parts, "all"} and min(found.values()) > 0
    assert sum(found[name] for name in parts) <= found["all"]


def test_what_is_not_compared_is_not_written(setting, monkeypatch):
    given = []
    monkeypatch.setattr(
        recover_benchmark, "_in_own_process", lambda *args: given.append(args[2]) or measure_schedule(*args)
    )
    found = measure_schedules(setting(), ["exact", "splice"])
    assert given == [None, None] and found["difference"] == {} and found["ratios"].keys() == {"splice"}


def test_the_first_schedule_need_not_run_again(setting, monkeypatch):
    ran = []
    monkeypatch.setattr(
        recover_benchmark, "_in_own_process", lambda *args: ran.append(args[1]) or measure_schedule(*args)
    )
    first = Measured("published", 8.0, 4.0, 100, 1100, 5)
    found = measure_schedules(setting(), ["published", "exact"], first)
    assert ran == ["exact"] and found["difference"] == {}
    assert found["ratios"]["exact"] == 4.0 / found["measured"]["exact"]["cpu_seconds"]
    assert found["measured"]["published"] == vars(first)


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
