"""Endless pairs: rounds are made ahead, old ones go, and a step has the same samples wherever one begins."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from b2scvr.bitstream.encode import encode_h264
from b2scvr.data.cache import CacheSettings, SampleEntry, write_json
from b2scvr.data.dataset import MAKING_SECONDS, PairDataset, View
from b2scvr.data.endless import COMPLETE, EndlessPairs
from b2scvr.data.sample import SAMPLE_VERSION, save_sample
from b2scvr.types import InputError

VIEW = View(crop=(64, 64), broken_only=False)


def open_round(folder):
    return PairDataset(folder, VIEW)


@pytest.fixture
def make_pairs(tmp_path, make_random_sample):
    """Pairs of two rounds' clips; `made` lists the rounds in the order they were made."""
    footage = tmp_path / "footage"
    footage.mkdir()
    (footage / "a.mp4").touch()

    def make(name, **options):
        made = []

        def make_round(clips, number, folder, settings, workers):
            assert [clip.name for clip in clips] == ["a.mp4"]
            made.append(number)
            folder.mkdir(parents=True, exist_ok=True)
            entries = []
            for index in range(2):
                save_sample(folder / f"{index}.npy", make_random_sample(96, 128, 10 * number + index))
                entries.append(SampleEntry(f"{index}.npy", "a.mp4", number, index, True, 128, 96))
            write_json(folder / "index.json", {"version": SAMPLE_VERSION, "samples": [asdict(e) for e in entries]})
            write_json(folder / COMPLETE, {})

        pairs = EndlessPairs(
            footage, tmp_path / name, open_round, CacheSettings(), 3, 1, **{"make": make_round, **options}
        )
        return pairs, made

    return make


def taken(pairs, start, stop, **options):
    batches = list(pairs.batches(2, start, stop, **options))
    for batch in batches:
        batch.pop(MAKING_SECONDS)
    return batches


def test_a_step_has_the_same_samples_wherever_one_begins(make_pairs):
    through, resumed = taken(make_pairs("one")[0], 0, 8), taken(make_pairs("two")[0], 4, 8)
    assert len(through) == 8 and len(resumed) == 4
    for a, b in zip(through[4:], resumed, strict=True):
        assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(through[2]["target"], through[3]["target"])  # another round


def test_rounds_are_made_once_and_removed_when_over(make_pairs):
    pairs, made = make_pairs("run")
    taken(pairs, 0, 9)
    assert made == [0, 1, 2]
    assert not pairs.round_folder(0).exists() and pairs.round_folder(2).exists()
    taken(pairs, 6, 9)
    assert made == [0, 1, 2]


def test_processes_share_what_the_first_one_has_made(make_pairs):
    pairs, made = make_pairs("run")
    whole = taken(pairs, 0, 3)
    shares = [taken(pairs, 0, 3, rank=rank, world=2) for rank in (0, 1)]
    for batch, *parts in zip(whole, *shares, strict=True):
        assert torch.equal(batch["target"], torch.cat([part["target"] for part in parts]))
    assert made == [0]


def test_a_round_that_fails_is_told(make_pairs, tmp_path):
    def fails(clips, number, folder, settings, workers):
        raise InputError("a.mp4: not a video")

    pairs, _ = make_pairs("run", make=fails)
    with pytest.raises(InputError, match=r"round 0 could not be made: a\.mp4: not a video"):
        taken(pairs, 0, 1)
    with pytest.raises(ValueError, match="at least 1"):
        EndlessPairs(tmp_path / "footage", tmp_path, open_round, CacheSettings(), 0)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError):
        EndlessPairs(tmp_path / "nothing", tmp_path, open_round, CacheSettings())


def test_rounds_of_a_real_clip_differ(tmp_path, pictures):
    footage = tmp_path / "footage"
    footage.mkdir()
    (footage / "a.h264").write_bytes(encode_h264(pictures[:20], crf=12))
    pairs = EndlessPairs(footage, tmp_path / "pairs", open_round, CacheSettings(), round_batches=1, workers=1)
    first, second = taken(pairs, 0, 2)
    assert first["target"].shape == (2, 3, 64, 64) and np.isfinite(first["target"].numpy()).all()
    assert not torch.equal(first["target"], second["target"])
