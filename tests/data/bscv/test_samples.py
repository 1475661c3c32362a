"""Training samples from a branch: those that the same pair gives from clean footage."""

import shutil

import numpy as np
import pytest

from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.reader import decode
from b2scvr.bitstream.repair import next_broken
from b2scvr.data.bscv.load import clip_files
from b2scvr.data.bscv.samples import BscvCacheSettings, bscv_jobs, coded_pair, make_bscv_samples
from b2scvr.data.cache import CacheSettings, build_cache, read_index
from b2scvr.data.dataset import PairDataset, View
from b2scvr.data.pairs import make_sample, pair_streams
from b2scvr.types import InputError, array_fields


def test_samples_are_those_of_the_pair(dataset):
    files = clip_files(dataset / "244096", "video")
    pair = pair_streams(files.clean_stream.read_bytes(), files.damaged_stream.read_bytes())
    chosen = next_broken(pair.damaged.clip, set())
    found = list(make_bscv_samples(files, np.random.default_rng(0), BscvCacheSettings()))
    assert [sample.surroundings.index for sample in found] == chosen and chosen
    for sample, index in zip(found, chosen, strict=True):
        expected = make_sample(pair, index)
        for name in ("target", "mask", "wrong"):
            assert np.array_equal(getattr(sample, name), getattr(expected, name)), name
        for name, array in array_fields(expected.surroundings).items():
            assert np.array_equal(array, getattr(sample.surroundings, name)), name


def test_a_cache_of_branches_feeds_the_training_data_set(tmp_path, dataset):
    jobs = bscv_jobs([dataset / "144096", dataset / "244096"])
    settings = BscvCacheSettings(branches="144096 244096")
    entries = build_cache(jobs, tmp_path, settings, workers=2)
    assert read_index(tmp_path) == entries
    assert {(entry.clip, entry.round) for entry in entries} == {(c, r) for c in ("frames", "video") for r in (0, 1)}
    batch = PairDataset(tmp_path, View()).batch_of_one(0)
    assert batch["target"].shape == (1, 3, 96, 128)
    with pytest.raises(ValueError, match="choose another folder"):
        build_cache(jobs, tmp_path, CacheSettings())


def test_pictures_find_their_truth_where_access_units_are_lost(tmp_path, pictures):
    root = tmp_path / "144096"
    for folder in ("GT_h264", "BSC_h264"):
        (root / folder).mkdir(parents=True)
    clean = encode_h264(pictures, gop=12, options={"bf": "0"})
    (root / "GT_h264" / "a.h264").write_bytes(clean)
    units = clean.split(b"\0\0\1A")
    (root / "BSC_h264" / "a_2.h264").write_bytes(b"\0\0\1A".join([*units[:5], units[5] + units[6], *units[7:]]))
    pair = coded_pair(clip_files(root, "a"))
    assert np.array_equal(pair.truth, decode(clean).clip.frames)  # the lost one was given a place again
    assert np.flatnonzero(pair.damaged.clip.lost).tolist() == [6]
    (root / "GT_h264" / "a.h264").write_bytes(encode_h264(pictures[:20, ::-1]))
    with pytest.raises(InputError, match=r"a: cannot be used for training: .* access units"):
        coded_pair(clip_files(root, "a"))


def test_what_cannot_be_trained_on_is_told(tmp_path, dataset):
    copy = shutil.copytree(dataset, tmp_path / "copy", symlinks=True)
    (copy / "244096" / "BSC_h264" / "video_2.h264").unlink()
    with pytest.raises(InputError, match=r"BSC_h264/video_2\.h264"):
        coded_pair(clip_files(copy / "244096", "video"))
    (copy / "144096" / "GT_h264" / "frames.h264").unlink()
    with pytest.raises(InputError, match=r"GT_h264/frames\.h264"):
        coded_pair(clip_files(copy / "244096", "frames"))
    with pytest.raises(InputError, match="two folders of one name"):
        bscv_jobs([copy / "244096", dataset / "244096"])
