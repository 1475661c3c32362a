"""The sample file: exact where it says so, whole or absent, cropped while it is read."""

from dataclasses import replace

import numpy as np
import pytest

from b2scvr.data.sample import Box, load_sample, open_record, save_sample


def test_a_sample_comes_back(tmp_path, sample):
    path = tmp_path / "sample.npy"
    size = save_sample(path, sample)
    assert size == path.stat().st_size
    back = load_sample(path)
    for name in ("window", "candidates", "candidate_valid", "distance", "concealed", "slice_start"):
        stored, original = getattr(back.surroundings, name), getattr(sample.surroundings, name)
        assert stored.dtype == original.dtype
        assert np.array_equal(stored, original), name
    for name in ("target", "mask", "wrong"):
        assert np.array_equal(getattr(back, name), getattr(sample, name)), name
    assert np.allclose(back.surroundings.motion, sample.surroundings.motion, rtol=1e-3)
    assert back.surroundings.motion.dtype == np.float32
    assert (back.surroundings.index, back.surroundings.current, back.surroundings.broken) == (5, 2, True)


def test_a_box_is_the_same_part_of_every_array(tmp_path, make_random_sample):
    sample = make_random_sample(height=88, width=120)  # the last macroblocks are partial
    save_sample(tmp_path / "sample.npy", sample)
    part = load_sample(tmp_path / "sample.npy", Box(top=3, left=5, rows=3, columns=3))
    assert np.array_equal(part.target, sample.target[48:88, 80:120])
    assert np.array_equal(part.surroundings.window, sample.surroundings.window[:, 48:88, 80:120])
    assert np.array_equal(part.surroundings.candidate_valid, sample.surroundings.candidate_valid[:, 48:88, 80:120])
    assert np.array_equal(part.wrong, sample.wrong[3:6, 5:8])
    assert part.surroundings.motion.shape == (4, 40, 40, 2)
    assert part.surroundings.evidence.shape[1:] == (3, 3)


@pytest.mark.parametrize(("broken", "restored"), [(True, True), (False, True), (False, False)])
def test_whether_splice_mode_restores_it_is_kept_and_older_files_tell_by_the_broken_bits(
    tmp_path, make_random_sample, broken, restored
):
    sample = replace(make_random_sample(broken=broken), restored=restored)
    path = tmp_path / "sample.npy"
    save_sample(path, sample)
    assert load_sample(path).restored is restored
    record = np.load(path)
    np.save(path, record[[name for name in record.dtype.names if name != "restored"]])
    assert load_sample(path).restored is broken


def test_a_failed_write_leaves_nothing(tmp_path, sample, monkeypatch):
    def full_disk(file, array, allow_pickle):
        file.write(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "save", full_disk)
    with pytest.raises(OSError, match="no space"):
        save_sample(tmp_path / "sample.npy", sample)
    assert list(tmp_path.iterdir()) == []


def test_another_array_is_no_sample(tmp_path):
    np.save(tmp_path / "other.npy", np.zeros(3))
    with pytest.raises(ValueError, match="not a training sample"):
        open_record(tmp_path / "other.npy")
