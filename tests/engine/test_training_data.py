"""What a stage is given to train on: one cache folder, or several that are mixed."""

import pytest

from b2scvr.engine.settings import StageSettings, TrainSettings
from b2scvr.engine.training_data import make_data
from b2scvr.types import InputError

STAGE = StageSettings(steps=1, batch=2, lr=1e-3, crop=(64, 64))


def test_several_folders_are_mixed_a_batch_from_one_of_them(cache):
    one, validation = make_data(TrainSettings(data=str(cache)), "recover", STAGE)
    both, _ = make_data(TrainSettings(data=(str(cache), str(cache))), "recover", STAGE)
    assert validation is None and len(both) == 2 * len(one) == 10
    batches = list(both.batches(2, 0, 6))  # an epoch: three of each
    assert all(batch["target"].shape == (2, 3, 64, 64) for batch in batches)
    assert {both.size_key(entry)[0] for entry in range(10)} == {0, 1}


def test_a_folder_that_is_absent_is_named(cache, tmp_path):
    with pytest.raises(InputError, match="absent: no training samples there"):
        make_data(TrainSettings(data=(str(cache), str(tmp_path / "absent"))), "recover", STAGE)
