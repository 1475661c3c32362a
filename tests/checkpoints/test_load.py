"""Weights: saved and loaded exactly, merged by network, refused with a report when they belong elsewhere."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from b2scvr.checkpoints import load as checkpoints
from b2scvr.checkpoints.load import (
    WeightsMismatchError,
    load_weights,
    read_metadata,
    read_weights,
    save_weights,
    unshaped_settings,
)


def test_weights_come_back_exactly_and_other_networks_stay(tmp_path):
    path = tmp_path / "weights.safetensors"
    first, second = nn.Linear(3, 2), nn.Conv2d(1, 2, 3)
    save_weights(path, {"dac": first.state_dict()}, {"dac_steps": "10"})
    save_weights(path, {"cfc": second.state_dict()}, {"cfc_steps": "20"})
    other_first, other_second = nn.Linear(3, 2), nn.Conv2d(1, 2, 3)
    load_weights(path, {"dac": other_first, "cfc": other_second})
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), other_first.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(second.parameters(), other_second.parameters(), strict=True))
    assert read_metadata(path) == {"dac_steps": "10", "cfc_steps": "20"}


def test_saving_one_network_again_replaces_all_of_its_keys(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_weights(path, {"dac": nn.Linear(3, 2).state_dict()})
    save_weights(path, {"dac": nn.Linear(3, 2, bias=False).state_dict()})
    assert set(read_weights(path)) == {"dac.weight"}


def test_mismatch_names_missing_unexpected_and_misshapen_keys_and_changes_nothing(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({"dac.weight": torch.zeros(5, 3), "dac.extra": torch.zeros(1)}, path)
    network = nn.Linear(3, 2)
    before = network.weight.clone()
    with pytest.raises(WeightsMismatchError) as caught:
        load_weights(path, {"dac": network})
    message = str(caught.value)
    assert "1 missing: bias" in message and "1 unexpected: extra" in message
    assert "weight [5, 3] instead of [2, 3]" in message
    assert torch.equal(network.weight, before)


def test_weights_that_are_not_numbers_are_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({"dac.weight": torch.full((2, 3), float("nan")), "dac.bias": torch.zeros(2)}, path)
    network = nn.Linear(3, 2)
    before = network.weight.clone()
    with pytest.raises(ValueError, match="of 'dac' that are not finite numbers: weight"):
        load_weights(path, {"dac": network})
    assert torch.equal(network.weight, before)


class Scaled(nn.Linear):
    """Works at a size that its weights don't tell."""

    unshaped = ("downscale",)

    def __init__(self, downscale):
        super().__init__(3, 2)
        self.downscale = downscale


def test_settings_that_no_shape_tells_are_kept_and_compared(tmp_path):
    path, trained = tmp_path / "weights.safetensors", Scaled(2)
    save_weights(path, {"cfc": trained.state_dict()}, unshaped_settings("cfc", trained))
    load_weights(path, {"cfc": Scaled(2)})
    other = Scaled(1)
    before = other.weight.clone()
    with pytest.raises(WeightsMismatchError, match=r"trained with cfc\.downscale=2, the config has 1"):
        load_weights(path, {"cfc": other})
    assert torch.equal(other.weight, before)
    save_weights(path.with_name("older.safetensors"), {"cfc": trained.state_dict()})
    load_weights(path.with_name("older.safetensors"), {"cfc": other})  # it says nothing


def test_absent_network_is_named(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({"dac.weight": torch.zeros(1)}, path)
    with pytest.raises(WeightsMismatchError, match="no weights of 'cfc'; it holds dac"):
        load_weights(path, {"cfc": nn.Linear(1, 1)})


def test_files_that_are_no_weights_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="weights not found"):
        read_weights(tmp_path / "absent.safetensors")
    for name in ("text.safetensors", "text.pt"):
        (tmp_path / name).write_text("no weights")
        with pytest.raises(ValueError, match="not a file of weights"):
            read_weights(tmp_path / name)
    torch.save({"model": nn.Linear(1, 1)}, tmp_path / "code.pt")
    with pytest.raises(ValueError, match="not a file of weights"):
        read_weights(tmp_path / "code.pt")
    torch.save({"steps": 3}, tmp_path / "numbers.pt")
    with pytest.raises(ValueError, match="names and tensors"):
        read_weights(tmp_path / "numbers.pt")


def test_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "weights.safetensors"
    network = nn.Linear(3, 2)
    save_weights(path, {"dac": network.state_dict()})

    def full_disk(tensors, file, metadata):
        file.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(checkpoints, "save_file", full_disk)
    with pytest.raises(OSError, match="no space left"):
        save_weights(path, {"dac": nn.Linear(3, 2).state_dict()})
    load_weights(path, {"dac": nn.Linear(3, 2)})
    assert torch.equal(read_weights(path)["dac.weight"], network.weight)
    assert [p.name for p in tmp_path.iterdir()] == ["weights.safetensors"]


def test_a_disk_that_is_full_half_way_keeps_the_old_file(tmp_path, full_disk):
    path = tmp_path / "weights.safetensors"
    save_weights(path, {"dac": {"weight": torch.ones(3)}})
    with full_disk(100_000), pytest.raises(OSError, match=r"weights\.safetensors: cannot be written"):
        save_weights(path, {"dac": {"weight": torch.zeros(100_000)}})
    assert [found.name for found in tmp_path.iterdir()] == ["weights.safetensors"]
    assert torch.equal(read_weights(path)["dac.weight"], torch.ones(3))
