"""Windows: what belongs together stays together, the damage is in sight, both kinds meet in one run."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from b2scvr.data.cache import SampleEntry, write_json
from b2scvr.data.clip_sample import ClipSample, save_clip
from b2scvr.data.dataset import Draw, PairDataset, View, collate, whole
from b2scvr.data.sample import SAMPLE_VERSION, save_sample
from b2scvr.data.window_dataset import MixedDataset, WindowDataset, WindowShape
from b2scvr.types import InputError

COUNT, HEIGHT, WIDTH = 9, 88, 112
DAMAGED = 6


def clip_of_numbers():
    """Picture n is n * 20 everywhere, its truth 5 more; picture DAMAGED is damaged at the lower right."""
    clean = np.broadcast_to(np.arange(COUNT, dtype=np.uint8)[:, None, None, None] * 20, (COUNT, HEIGHT, WIDTH, 3))
    visible = np.zeros((COUNT, HEIGHT, WIDTH), np.uint8)
    visible[DAMAGED, 64:, 80:] = 1
    vectors = np.zeros((2, COUNT - 1, 3, HEIGHT // 8, WIDTH // 8), np.float16)
    vectors[0, :, 0] = np.arange(COUNT - 1)[:, None, None]
    vectors[0, :, 1] = np.arange(WIDTH // 8)
    vectors[:, :, 2] = 1
    return ClipSample(clean.copy(), clean + np.uint8(5), visible, vectors)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    save_clip(folder / "clip.npy", clip_of_numbers())
    entries = [SampleEntry("clip.npy", "a", 0, 0, True, WIDTH, HEIGHT, COUNT)]
    write_json(folder / "index.json", {"version": SAMPLE_VERSION, "samples": [asdict(entry) for entry in entries]})
    return folder


SHAPE = WindowShape(local=3, references=2)


def test_a_window_is_consecutive_pictures_then_references_from_elsewhere(cache):
    data = WindowDataset(cache, View(crop=(48, 64)), SHAPE)
    seen = 0
    for step in range(30):
        item = data[Draw(step, 0, 0)]
        assert item["pictures"].shape == (5, 3, 48, 64) and item["mask"].shape == (5, 1, 48, 64)
        assert item["vectors"].shape == (2, 2, 3, 6, 8)
        numbers = (item["pictures"][:, 0, 0, 0] * 255 / 20).round().int().tolist()
        assert numbers[1:3] == [numbers[0] + 1, numbers[0] + 2]
        assert numbers[3:] == sorted(numbers[3:]) and not set(numbers[3:]) & set(numbers[:3])
        torch.testing.assert_close(item["target"] - item["pictures"], torch.full_like(item["target"], 5 / 255))
        assert item["vectors"][0, :, 0, 0, 0].tolist() == [numbers[0], numbers[0] + 1]
        seen += bool(item["mask"][:3].any())
    assert 20 <= seen < 30
    first, again = data[Draw(3, 1, 0)], WindowDataset(cache, View(crop=(48, 64)), SHAPE)[Draw(3, 1, 0)]
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_a_mirror_image_turns_pictures_masks_and_vectors_alike(cache):
    plain, mirrored = (WindowDataset(cache, View(crop=(80, 112), mirror=m), SHAPE) for m in (False, True))
    turned = 0
    for step in range(8):
        a, b = plain[Draw(step, 0, 0)], mirrored[Draw(step, 0, 0)]
        if torch.equal(a["vectors"], b["vectors"]):
            continue
        turned += 1
        assert torch.equal(a["mask"].flip(-1), b["mask"])
        signs = torch.tensor([-1.0, 1, 1])[:, None, None]
        assert torch.equal(a["vectors"].flip(-1) * signs, b["vectors"])
    assert turned


def test_jitter_widens_masks_and_one_recolouring_is_for_all(cache):
    exact = WindowDataset(cache, View(), SHAPE)[Draw(0, 0, 0)]
    data = WindowDataset(cache, View(jitter=True, recolour=True), SHAPE)
    item = data[Draw(0, 0, 0)]
    assert (item["mask"] >= exact["mask"]).all()
    assert (item["target"] != item["pictures"]).any() and not torch.equal(item["pictures"], exact["pictures"])


def test_clips_that_do_not_fit_are_refused(cache, tmp_path):
    with pytest.raises(InputError, match=r"none of its 1 clips fits WindowShape\(local=9"):
        WindowDataset(cache, View(), WindowShape(local=9, references=1))
    with pytest.raises(InputError, match="none of its 1 clips"):
        WindowDataset(cache, View(crop=(96, 96)), SHAPE)
    with pytest.raises(ValueError, match="not looked at in bands"):
        WindowDataset(cache, View(band=2), SHAPE)
    with pytest.raises(ValueError, match="a local picture at least"):
        WindowShape(local=0)
    with pytest.raises(InputError, match="none of its 1 samples"):
        PairDataset(cache, View())


def test_pictures_and_masks_of_a_clip_that_do_not_belong_together_are_named():
    good = clip_of_numbers()
    with pytest.raises(
        ValueError, match=r"visible is \[9, 88, 111\], damaged \[9, 88, 112, 3\] asks for \[9, 88, 112\]"
    ):
        ClipSample(good.damaged, good.clean, good.visible[..., :111], good.vectors)
    with pytest.raises(ValueError, match=r"clean is \[8, 88, 112, 3\]"):
        ClipSample(good.damaged, good.clean[:8], good.visible, good.vectors)


def test_both_kinds_in_one_run(cache, make_random_sample, tmp_path):
    save_clip(tmp_path / "clip.npy", clip_of_numbers())
    save_sample(tmp_path / "picture.npy", make_random_sample(96, 128))
    entries = [SampleEntry("picture.npy", "a", 0, 5, True, 128, 96)]
    write_json(tmp_path / "index.json", {"version": SAMPLE_VERSION, "samples": [asdict(entry) for entry in entries]})
    with pytest.raises(InputError, match=r"make_pairs\.py --clips"):
        WindowDataset(tmp_path, View())
    entries.append(SampleEntry("clip.npy", "a", 0, 0, True, WIDTH, HEIGHT, COUNT))
    write_json(tmp_path / "index.json", {"version": SAMPLE_VERSION, "samples": [asdict(entry) for entry in entries]})
    view = View(crop=(64, 64))
    data = MixedDataset([PairDataset(tmp_path, view), WindowDataset(tmp_path, view, SHAPE)])
    assert len(data) == 2 and data.size_key(0) != data.size_key(1)
    kinds = ["window" in batch for batch in data.batches(2, 0, 6)]
    assert set(kinds) == {True, False}
    assert data.batch_of_one(1)["pictures"].shape[:2] == (1, 5)
    assert set(collate([data[Draw(0, 0, 0)]])) > {"window", "motion", "target"}


def test_true_masks_are_the_visible_damage(tmp_path, make_random_sample):
    sample = make_random_sample(96, 128)
    save_sample(tmp_path / "picture.npy", sample)
    entry = SampleEntry("picture.npy", "a", 0, 5, True, 128, 96)
    write_json(tmp_path / "index.json", {"version": SAMPLE_VERSION, "samples": [asdict(entry)]})
    sample.mask[:] = 0
    sample.mask[3, 5] = 1
    save_sample(tmp_path / "picture.npy", sample)
    told, true = (PairDataset(tmp_path, View(oracle_masks=o)).batch_of_one(0)["mask"] for o in (False, True))
    assert true.sum() == 1 and told.sum() > 1
    with pytest.raises(ValueError, match="jitter spoils masks"):
        View(jitter=True, oracle_masks=True)
    assert whole(View(jitter=True)).jitter is False
