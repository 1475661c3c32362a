import hashlib
import json
import random
import re

import numpy as np
import pytest

from b2scvr.engine import run_record


def test_the_record_says_what_is_needed_to_repeat_the_run(tmp_path):
    source, weights = tmp_path / "a.h264", tmp_path / "w.safetensors"
    source.write_bytes(b"stream")
    weights.write_bytes(b"weights")
    record = run_record.run_record(source, {"mode": "auto"}, {"dac": {"type": "Detector"}}, weights)
    assert record["sha256"] == {
        "input": hashlib.sha256(b"stream").hexdigest(), "weights": hashlib.sha256(b"weights").hexdigest()
    }  # fmt: skip
    assert record["config"]["dac"]["type"] == "Detector" and record["arguments"] == {"mode": "auto"}
    assert record["versions"]["numpy"] == np.__version__
    assert set(record["seeds"].values()) == {run_record.SEED}
    json.dumps(record)
    assert run_record.run_record(source, {}, None, None)["sha256"]["weights"] is None


def test_a_package_that_is_not_installed_has_no_version(monkeypatch):
    monkeypatch.setattr(run_record, "PACKAGES", ("numpy", "no-such-package-at-all"))
    assert run_record.versions()["no-such-package-at-all"] is None


def test_the_commit_is_a_hash_or_none(tmp_path, monkeypatch):
    found = run_record.commit()
    assert found is None or re.fullmatch(r"[0-9a-f]{40}(-dirty)?", found)
    monkeypatch.setattr(run_record, "_ROOT", tmp_path)
    assert run_record.commit() is None


def test_seeding_makes_draws_repeat():
    torch = pytest.importorskip("torch")

    def draw():
        run_record.seed_everything()
        return random.random(), np.random.random(), float(torch.rand(1))

    assert draw() == draw()
