"""Fuzzing: hundreds of mutants of every kind of stream, the seeds that once broke a promise, and lies that must be seen."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from b2scvr.bitstream.reader import decode
from b2scvr.engine import promises
from b2scvr.types import AccessUnitStatus
from tools import fuzz

SEEDS = 300
ONCE_BROKEN = (
    3002,
    3497,
    4126,
    4892,
    5495,
    5615,
    5735,
    6126,
    6198,
    6383,
    7211,
    7986,
    9905,
    9935,
    10387,
    31425,
    37371,
    41857,
    44393,
    44741,
    45893,
)
SPECIMEN = "baseline"  # P pictures alone: what is lost is seen at once


def broken(outcomes):
    return [(o.seed, f) for o in outcomes for f in o.findings if f.promise != promises.UNNOTICED]


def test_hundreds_of_mutants_break_no_promise():
    outcomes = list(fuzz.run_seeds(range(SEEDS), jobs=2))
    assert sorted(o.seed for o in outcomes) == list(range(SEEDS))
    assert broken(outcomes) == []
    counts = sum((o.counts for o in outcomes), start=type(outcomes[0].counts)())
    assert counts["splice"] > SEEDS // 2 and counts["refused"]  # neither all refused nor all read
    assert f"{SEEDS} mutated streams" in fuzz.summary(outcomes)


@pytest.mark.parametrize("seed", ONCE_BROKEN)
def test_seeds_that_once_broke_a_promise_keep_it(seed):
    assert broken(fuzz.check_seeds(range(seed, seed + 1))) == []


@pytest.fixture(scope="module")
def clean():
    return promises.clean_stream(SPECIMEN)


@pytest.fixture(scope="module")
def seed(clean):
    """A seed whose mutant is damaged and spliced."""
    for number in range(50):
        outcome = promises.check_mutant(clean, number, recover())
        if outcome.counts["splice"] and not outcome.counts["undamaged"] and not outcome.findings:
            return number
    pytest.fail("no mutant of fifty was spliced")


def recover():
    return fuzz._recover("splice")


def found(clean, seed, monkeypatch, lie=None, recover_with=None):
    """The promises that break when the decoder or the recovery lies."""
    if lie:
        monkeypatch.setattr(promises, "decode", lie)
    return {f.promise for f in promises.check_mutant(clean, seed, recover_with or recover()).findings}


def test_an_undeclared_exception_is_seen(clean, seed, monkeypatch):
    def fail(*_):
        raise ValueError("a programming error")

    assert found(clean, seed, monkeypatch, lie=fail) == {"exception"}
    assert "exception" in found(clean, seed, monkeypatch, recover_with=fail)


def test_damage_told_to_be_intact_is_seen(clean, seed, monkeypatch):
    def all_is_well(data, codec=None):
        coded = decode(data, codec)
        coded.clip.status[:] = AccessUnitStatus.INTACT
        changed = coded.access_units != clean.coded.access_units
        if changed:  # pictures of unchanged access units that are not the clean decode's
            coded.clip.frames[:] = 0
            coded.access_units[:] = clean.coded.access_units
        return coded

    assert "intact" in found(clean, seed, monkeypatch, lie=all_is_well)


def test_a_clip_that_changes_between_runs_is_seen(clean, seed, monkeypatch):
    calls = []

    def restless(data, codec=None):
        coded = decode(data, codec)
        calls.append(data)
        coded.clip.frames[0] += np.uint8(len(calls))
        return coded

    assert "repeatable" in found(clean, seed, monkeypatch, lie=restless)


def test_a_missing_slot_is_seen(clean, seed, monkeypatch):
    def forgetful(data, codec=None):
        coded = decode(data, codec)
        return replace(coded, access_units=coded.access_units[:-1])

    assert {"slots", "exception"} & found(clean, seed, monkeypatch, lie=forgetful)


@pytest.mark.parametrize(
    "lie", [lambda parts: parts[:-1], lambda parts: [*parts, parts[-1]], lambda parts: parts[::-1]]
)
def test_a_missing_part_is_seen(clean, seed, monkeypatch, lie):
    class Careless(promises.CodedFile):
        def parts(self, *settings):
            return lie(list(super().parts(*settings)))

    monkeypatch.setattr(promises, "PARTED", 1)
    assert not found(clean, seed, monkeypatch)
    monkeypatch.setattr(promises, "CodedFile", Careless)
    assert found(clean, seed, monkeypatch) == {"slots"}


def test_a_repair_that_repairs_nothing_is_seen(clean, seed, monkeypatch):
    def untouched(coded):
        return replace(recover()(coded), repaired=b"".join(coded.access_units) + coded.suffix)

    assert "repaired" in found(clean, seed, monkeypatch, recover_with=untouched)


def test_a_crash_costs_the_seed_at_fault_alone(monkeypatch):
    monkeypatch.setattr(fuzz, "run_jobs", partial(_with_crash, fuzz.run_jobs, at=2))
    outcomes = list(fuzz.run_seeds(range(4), jobs=1))
    assert sorted(o.seed for o in outcomes) == [0, 1, 2, 3]
    assert [(number, f.promise) for number, f in broken(outcomes)] == [(2, "exception")]


def _with_crash(run_jobs, work, jobs, workers, start, seconds, at):
    """run_jobs with a worker that dies at one seed."""
    return run_jobs(partial(_crashing, at=at), jobs, workers, start, seconds)


def _crashing(seeds, at):
    import os

    if at in seeds:
        os._exit(1)
    return [promises.Outcome(number, SPECIMEN) for number in seeds]
