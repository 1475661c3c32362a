"""Reference outputs of published networks: a folder outside the repository, named by B2SCVR_GOLDEN or lying beside it."""

import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
BESIDE = ROOT.parent / "shared" / "golden"


@pytest.fixture(scope="session")
def golden():
    """The folder; tests that need it are skipped where there is none."""
    folder = Path(os.environ.get("B2SCVR_GOLDEN", BESIDE))
    if not (folder / "fill.py").is_file():
        pytest.skip("no reference outputs: name their folder in B2SCVR_GOLDEN")
    return folder


@pytest.fixture(scope="session")
def fill(golden):
    """The module that makes weights and inputs from names and seeds."""
    spec = importlib.util.spec_from_file_location("golden_fill", golden / "fill.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def published_keys(golden):
    """Name -> (shape, type) of the published recovery network's weights."""
    return json.loads((golden / "b2scvr_generator_keys.json").read_text())


@pytest.fixture(scope="session")
def reference(golden):
    """The recovery network's reference outputs, by name."""
    return np.load(golden / "b2scvr_generator_240x432.npz")
