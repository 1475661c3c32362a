"""Published weights are found where people keep them, and missed in one helpful sentence."""

from dataclasses import replace

import pytest

from b2scvr.checkpoints.known import KNOWN, VARIABLE, MissingWeightsError, find_weights, require_weights, sha256_of

TINY = KNOWN["sam2.1_hiera_t"]
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # SHA-256 of "abc" (FIPS 180-4)


@pytest.fixture(autouse=True)
def bare_machine(tmp_path, monkeypatch):
    """No weights anywhere: every place that is looked at is an empty folder of the test."""
    for name in (VARIABLE, "TORCH_HOME", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def put(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"abc")
    return path


@pytest.mark.parametrize(
    ("place", "variables"),
    [
        ("mine/sam2.1_hiera_tiny.pt", {VARIABLE: "nowhere:{}/mine"}),
        ("mine/sam2.1_hiera_tiny.pt", {VARIABLE: "{}/mine/sam2.1_hiera_tiny.pt"}),
        ("checkpoints/sam2.1_hiera_tiny.pt", {}),
        ("cache/torch/hub/checkpoints/sam2.1_hiera_tiny.pt", {}),
        ("elsewhere/hub/checkpoints/sam2.1_hiera_tiny.pt", {"TORCH_HOME": "{}/elsewhere"}),
        ("cache/huggingface/hub/models--facebook--sam2.1-hiera-tiny/snapshots/f2/sam2.1_hiera_tiny.pt", {}),
        ("hf/hub/models--facebook--sam2.1-hiera-tiny/snapshots/f2/sam2.1_hiera_tiny.pt", {"HF_HOME": "{}/hf"}),
    ],
)
def test_places(tmp_path, monkeypatch, place, variables):
    assert find_weights(TINY) is None
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(tmp_path))
    path = put(tmp_path / place)
    assert require_weights(TINY).resolve() == path


def test_a_given_path_goes_before_all_places(tmp_path):
    put(tmp_path / "checkpoints" / TINY.file)
    other = put(tmp_path / "other.pt")
    assert require_weights(TINY, other) == other


@pytest.mark.parametrize("known", KNOWN.values(), ids=KNOWN.keys())
def test_missing_weights_say_which_file_from_where_and_how_large(known):
    with pytest.raises(MissingWeightsError) as caught:
        require_weights(known)
    message = str(caught.value)
    assert "\n" not in message
    for part in (known.file, known.url, f"{known.megabytes} MB", known.licence, VARIABLE, "pretrained=False"):
        assert part in message


def test_a_given_path_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MissingWeightsError, match=r"not at .*gone\.pt"):
        require_weights(TINY, tmp_path / "gone.pt")


def test_a_hash_that_is_known_is_checked(tmp_path):
    path = put(tmp_path / "weights.pt")
    assert sha256_of(path) == ABC
    assert require_weights(replace(TINY, sha256=ABC), path) == path
    with pytest.raises(ValueError, match=f"is {ABC}"):
        require_weights(replace(TINY, sha256="0" * 64), path)
