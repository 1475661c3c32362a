"""The data set: what is drawn depends on seed, step and slot alone."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from b2scvr.data.cache import SampleEntry, write_json
from b2scvr.data.dataset import MAKING_SECONDS, Draw, PairDataset, StepSampler, View, make_loader, whole
from b2scvr.data.sample import SAMPLE_VERSION, save_sample
from b2scvr.ops.stacking import candidate_weights, combine_candidates
from b2scvr.types import InputError

SIZES = [(96, 128), (96, 128), (88, 120), (96, 128), (88, 120)]
CROP = View(crop=(64, 64), mirror=True, recolour=True, jitter=True, broken_only=False)


@pytest.fixture
def cache(tmp_path, make_random_sample):
    entries = []
    for number, (height, width) in enumerate(SIZES):
        broken = number != 3
        save_sample(tmp_path / f"{number}.npy", make_random_sample(height, width, number, broken))
        entries.append(SampleEntry(f"{number}.npy", "clip", 0, number, broken, width, height))
    write_json(tmp_path / "index.json", {"version": SAMPLE_VERSION, "samples": [asdict(entry) for entry in entries]})
    return tmp_path


def batches(dataset, start, stop, workers=0, **options):
    made = list(make_loader(StepSampler(dataset, 2, start, stop, **options), workers))
    assert all(batch.pop(MAKING_SECONDS) > 0 for batch in made)
    return made


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_step_gives_the_same_batch_wherever_one_begins(cache):
    dataset = PairDataset(cache, CROP, seed=1)
    through = batches(dataset, 0, 7)
    resumed = batches(PairDataset(cache, CROP, seed=1), 4, 7, workers=1)
    assert all(same(a, b) for a, b in zip(through[4:], resumed, strict=True))
    assert not same(through[0], through[3])
    assert not same(through[0], batches(PairDataset(cache, CROP, seed=2), 0, 1)[0])


def test_an_epoch_shows_every_sample(cache):
    dataset = PairDataset(cache, CROP)
    sampler = StepSampler(dataset, 2, 0, 6)
    assert sampler.epoch_steps == 3
    drawn = [draw.entry for batch in sampler for draw in batch]
    assert set(drawn[:6]) == set(drawn[6:]) == set(range(5))


def test_processes_share_a_batch(cache):
    dataset = PairDataset(cache, CROP)
    together = list(StepSampler(dataset, 2, 0, 5))
    halves = [list(StepSampler(dataset, 2, 0, 5, rank, 2)) for rank in (0, 1)]
    assert together == [a + b for a, b in zip(*halves, strict=True)]
    with pytest.raises(ValueError, match="does not divide among 3"):
        StepSampler(dataset, 2, 0, 5, 0, 3)


def test_whole_pictures_are_batched_by_size(cache):
    found = batches(PairDataset(cache, View(broken_only=False)), 0, 4)
    sizes = {tuple(batch["window"].shape[-2:]) for batch in found}
    assert sizes == {(96, 128), (88, 120)}


def test_names_and_shapes(cache):
    batch = batches(PairDataset(cache, CROP), 0, 1)[0]
    shapes = {name: tuple(value.shape) for name, value in batch.items()}
    assert shapes["window"] == (2, 4, 3, 64, 64) and shapes["motion"] == (2, 4, 2, 64, 64)
    assert shapes["mask"] == shapes["visible"] == (2, 1, 64, 64)
    assert shapes["wrong"] == shapes["slice_start"] == (2, 4, 4)
    assert shapes["target"] == (2, 3, 64, 64) and shapes["broken"] == (2,)
    assert all(value.dtype == torch.float32 for value in batch.values())
    assert batch["target"].min() >= 0 and batch["target"].max() <= 1


def test_without_jitter_the_mask_is_the_suffix_of_wrong_macroblocks(cache):
    item = PairDataset(cache, View())[Draw(0, 0, 0)]
    expected = (np.arange(48).reshape(6, 8) >= 20).repeat(16, 0).repeat(16, 1)
    assert np.array_equal(item["mask"][0].numpy(), expected)


def test_a_crop_is_stacked_as_its_whole_picture_tells(cache):
    view = View(crop=(64, 64), stacked=True)
    item, whole_picture = PairDataset(cache, view)[Draw(0, 0, 0)], PairDataset(cache, View())[Draw(0, 0, 0)]
    weights = candidate_weights(*(whole_picture[name][None] for name in ("candidates", "candidate_valid", "mask")))
    torch.testing.assert_close(item["stacked"], combine_candidates(item["candidates"][None], weights)[0])
    assert "stacked" not in PairDataset(cache, View(stacked=True))[Draw(0, 0, 0)]


def test_bands_keep_the_width_and_begin_a_slice(cache):
    for batch in batches(PairDataset(cache, View(band=3)), 0, 4):
        assert batch["window"].shape[-2] == 48
        assert batch["window"].shape[-1] in (120, 128)
        assert (batch["slice_start"][:, 0, 0] == 1).all()


def test_dependents_and_small_pictures_are_left_out_where_wanted(cache):
    assert len(PairDataset(cache, View())) == 4
    assert len(PairDataset(cache, View(crop=(96, 96), broken_only=False))) == 3
    with pytest.raises(InputError, match="none of its 5 samples fits"):
        PairDataset(cache, View(crop=(256, 256)))


def test_large_pictures_are_left_out_where_wanted(cache):
    sizes = sorted(height * width for height, width in SIZES)
    kept = PairDataset(cache, View(broken_only=False, max_pixels=sizes[1]))
    assert sorted(entry.height * entry.width for entry in kept.entries) == [size for size in sizes if size <= sizes[1]]
    assert len(kept) < len(SIZES)


def test_views_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="choose one"):
        View(crop=(64, 64), band=2)
    with pytest.raises(ValueError, match="multiples of 16"):
        View(crop=(60, 64))
    with pytest.raises(ValueError, match="need a crop"):
        View(mirror=True)


def test_validation_draws_nothing(cache):
    view = whole(CROP)
    assert view == View(broken_only=False)
    dataset = PairDataset(cache, view, seed=1)
    assert same(dataset.batch_of_one(2), PairDataset(cache, view, seed=9).batch_of_one(2))
