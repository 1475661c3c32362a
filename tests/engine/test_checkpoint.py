"""Training checkpoints: atomic, found by step, thinned out."""

import pytest
import torch

from b2scvr.engine import checkpoint
from b2scvr.engine.checkpoint import list_checkpoints, load_checkpoint, save_checkpoint


def state(step):
    return {"step": step, "network": {"weight": torch.full((2,), float(step))}}


def test_the_last_ones_are_kept(tmp_path):
    for step in (5, 20, 100):
        save_checkpoint(tmp_path, step, state(step), keep=2)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step_00000020.pt", "step_00000100.pt"]
    back = load_checkpoint(list_checkpoints(tmp_path)[-1])
    assert back["step"] == 100
    assert torch.equal(back["network"]["weight"], torch.full((2,), 100.0))


def test_a_failed_write_loses_no_earlier_checkpoint(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, 5, state(5), keep=1)

    def full_disk(content, file):
        file.write(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", full_disk)
    with pytest.raises(OSError, match="no space left"):
        save_checkpoint(tmp_path, 6, state(6), keep=1)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000005.pt"]
    assert load_checkpoint(tmp_path / "step_00000005.pt")["step"] == 5


@pytest.mark.parametrize("room", [0, 1_000, 300_000])
def test_a_disk_that_is_full_half_way_loses_no_earlier_checkpoint(tmp_path, full_disk, room):
    """The kernel stops the write here, within PyTorch's own writer."""
    large = {"step": 6, "network": {name: torch.zeros(50_000) for name in "abc"}}
    save_checkpoint(tmp_path, 5, state(5), keep=1)
    with full_disk(room), pytest.raises(OSError, match="File too large"):
        save_checkpoint(tmp_path, 6, large, keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000005.pt"]
    assert load_checkpoint(tmp_path / "step_00000005.pt")["step"] == 5
    save_checkpoint(tmp_path, 6, large, keep=1)  # there is room again
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000006.pt"]


def test_what_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="checkpoint not found"):
        load_checkpoint(tmp_path / "step_00000001.pt")
    (tmp_path / "text.pt").write_text("text")
    with pytest.raises(ValueError, match="not a file of weights that can be read"):
        load_checkpoint(tmp_path / "text.pt")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "weights.pt")
    with pytest.raises(ValueError, match="not a training checkpoint"):
        load_checkpoint(tmp_path / "weights.pt")
    torch.save({"step": 1, "network": torch.nn.Linear(1, 1)}, tmp_path / "code.pt")
    with pytest.raises(ValueError, match="not a file of weights that can be read"):
        load_checkpoint(tmp_path / "code.pt")
    with pytest.raises(ValueError, match="keep"):
        save_checkpoint(tmp_path, 1, state(1), keep=0)
