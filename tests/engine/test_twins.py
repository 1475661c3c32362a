"""Twins: from footage with any damage, from a data set with masks given or blind, and in words when it can't be done."""

import shutil
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from b2scvr.bitstream.damage import BRANCHES
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.reader import read
from b2scvr.data.bscv import layout
from b2scvr.data.bscv.build import build_clip
from b2scvr.data.bscv.load import BscvBranch
from b2scvr.data.bscv.settings import BuildSettings
from b2scvr.data.bscv.sources import list_sources as list_footage
from b2scvr.data.workers import WorkerLostError
from b2scvr.engine import twins
from b2scvr.engine.evaluate import CONCEALMENT, evaluate, evaluate_twin
from b2scvr.engine.judging import BLIND, FIRST_MASK, TRUE_MASKS, Judge
from b2scvr.engine.protocol import Protocol, named_protocol
from b2scvr.engine.twins import DatasetClip, damage_of, list_sources, make_twin, run_twins
from b2scvr.metrics.masks import mask_truth
from b2scvr.pipeline import Recoverer
from b2scvr.types import InputError

CONFIG = str(Path(__file__).resolve().parents[2] / "configs" / "vector_fill.py")


@pytest.fixture(scope="module")
def footage(tmp_path_factory, pictures):
    folder = tmp_path_factory.mktemp("footage")
    noise = np.random.default_rng(1).integers(-30, 30, pictures[:10].shape)
    noisy = np.clip(pictures[:10] + noise, 0, 255).astype(np.uint8)
    (folder / "texture.h264").write_bytes(encode_h264(noisy, crf=5))
    return folder


@pytest.fixture(scope="module")
def dataset(tmp_path_factory, footage):
    root = tmp_path_factory.mktemp("dataset")
    (root / layout.RECORDS).mkdir()
    settings = BuildSettings(seed=2, gop=5, crf=12)  # of this seed the damage leaves a part of every picture
    build_clip(list_footage(footage)[0], root, settings, ["144096"])
    return root


def make(config, protocol):
    return Recoverer(config, mode=protocol.mode, device="cpu")


def test_sources_are_found_by_layout(dataset, footage, tmp_path):
    assert list_sources(dataset, "144096") == [DatasetClip(dataset / "144096", "texture")]
    assert list_sources(dataset / "144096", "144096") == [DatasetClip(dataset / "144096", "texture")]
    assert list_sources(footage, "144096") == [footage / "texture.h264"]
    with pytest.raises(InputError, match="no such folder"):
        list_sources(tmp_path / "absent", "144096")
    with pytest.raises(InputError, match=r"the branches 144096, not rtp:rate=0.1; .* 144096/GT_h264"):
        list_sources(dataset, "rtp:rate=0.1")
    assert list_sources(dataset / "144096/GT_h264", "rtp:rate=0.1") == [dataset / "144096/GT_h264/texture.h264"]
    with pytest.raises(InputError, match="is the branch 144096, not 124096"):
        list_sources(dataset / "144096", "124096")
    with pytest.raises(ValueError, match="unknown model 'rpt'"):
        list_sources(footage, "rpt:rate=0.1")


def test_given_masks_come_from_the_data_set_dilated(dataset):
    clip = BscvBranch(dataset / "144096")["texture"]
    twin = make_twin(DatasetClip(dataset / "144096", "texture"), 0, named_protocol("bscv-native"))
    assert np.array_equal(twin.coded.clip.frames, clip.damaged) and np.array_equal(twin.clean, clip.clean)
    assert np.array_equal(twin.masks, clip.masks) and twin.coded.clip.mv_past_valid.any()
    given = twin.given_masks()
    assert (given >= twin.masks).all() and given.sum() > twin.masks.sum()
    slot, mask = twin.first_mask()
    assert not twin.masks[:slot].any() and np.array_equal(mask, twin.masks[slot]) and mask.any()


def test_a_dilated_point_is_a_diamond_of_four_steps(dataset):
    twin = make_twin(DatasetClip(dataset / "144096", "texture"), 0, named_protocol("bscv-native"))
    twin.masks[:] = 0
    twin.masks[0, 40, 50] = 1
    y, x = np.mgrid[0 : twin.masks.shape[1], 0 : twin.masks.shape[2]]
    assert np.array_equal(twin.given_masks()[0] > 0, abs(y - 40) + abs(x - 50) <= 4)


def test_blind_protocols_decode_both_streams(dataset):
    twin = make_twin(DatasetClip(dataset / "144096", "texture"), 0, named_protocol("m-gdm"))
    assert np.array_equal(twin.clean, read(dataset / "144096/GT_h264/texture.h264").frames), "not the JPEG pictures"
    assert np.array_equal(twin.masks, mask_truth(twin.coded.clip.frames, twin.clean))
    assert len(twin.coded.access_units) == 10


def test_at_another_size_pictures_and_masks_are_all_there_is(dataset):
    protocol = replace(named_protocol("bscv-240p"), size=(80, 66), metrics=("ssim65",))
    twin = make_twin(DatasetClip(dataset / "144096", "texture"), 0, protocol)
    assert twin.clean.shape == twin.coded.clip.frames.shape == (10, 66, 80, 3) and twin.masks.shape == (10, 66, 80)
    concealment, filled = evaluate_twin(DatasetClip(dataset / "144096", "texture"), 0, [CONFIG], protocol, make)
    assert (concealment.method, concealment.told, filled.told) == (CONCEALMENT, BLIND, TRUE_MASKS)
    assert (filled["recall"], filled["precision"] < 1) == (1, True), "the true masks, dilated"
    assert filled["psnr"] != concealment["psnr"] and filled["ssim65"] != concealment["ssim65"]
    assert 0 < concealment.broken < concealment.damaged < 10


class Tracker:
    """Starts from the first mask and finds nothing more."""

    tracks = True

    def __init__(self):
        self.pipeline, self.first = self, None

    def detect(self, coded, first_mask=None):
        self.first = first_mask
        masks = np.zeros(coded.clip.frames.shape[:3], np.uint8)
        masks[first_mask[0]] = first_mask[1]
        return type("Masks", (), {"masks": masks})

    def recover(self, coded, given_masks=None):
        recovered = Recoverer(CONFIG, device="cpu").recover(coded, given_masks)
        assert np.array_equal(recovered.masks.masks, given_masks)
        return recovered


def test_a_detector_that_tracks_gets_the_first_mask(dataset):
    protocol = replace(named_protocol("blind-b2scvr"), size=None, metrics=())
    source, tracker = DatasetClip(dataset / "144096", "texture"), Tracker()
    _, tracked, blind = evaluate_twin(
        source, 0, ["tracker.py", CONFIG], protocol, lambda c, p: tracker if "tracker" in c else make(c, p)
    )
    assert (tracked.told, blind.told) == (FIRST_MASK, BLIND)
    slot, mask = make_twin(source, 0, protocol).first_mask()
    assert tracker.first[0] == slot and np.array_equal(tracker.first[1], mask)


def test_pictures_and_masks_alone_serve_given_masks_but_no_blind_protocol(dataset, tmp_path):
    shutil.copytree(dataset / "144096", tmp_path / "144096", symlinks=True)
    for folder in ("BSC_h264", "GT_h264", "parses"):
        shutil.rmtree(tmp_path / "144096" / folder)
    source = DatasetClip(tmp_path / "144096", "texture")
    twin = make_twin(source, 0, named_protocol("bscv-native"))
    assert twin.masks.any() and not twin.coded.clip.mv_past_valid.any()
    with pytest.raises(InputError, match=r"m-gdm is blind and needs the damaged stream .*bscv-native"):
        make_twin(source, 0, named_protocol("m-gdm"))
    with pytest.raises(ValueError, match="taken whole"):
        make_twin(source, 0, named_protocol("bscv-native", max_pictures=3))


@pytest.mark.parametrize(
    "branch",
    [
        *BRANCHES,
        "bscv:P=2,L=0.2,S=300",
        "rtp:p=0.2,r=0.4,mtu=300,incomplete=drop",
        "rtp:rate=0.2,mtu=300,incomplete=join",
        "ts:rate=0.05",
        "ber:rate=2e-4,protect=sets+idr",
        "ge:p=1e-4,r=1e-2",
        "sectors:rate=0.2,size=512,fill=random",
        "truncate:fraction=0.7",
        '{"model": "rtp", "parameters": {"rate": 0.2, "mtu": 300}}',
        "144096 + rtp:rate=0.1,mtu=300,protect=sets+idr",
    ],
)
def test_footage_takes_any_damage_and_keeps_what_arrived(footage, branch):
    twin = make_twin(footage / "texture.h264", 3, Protocol(branch=branch, gop=5, crf=20))
    assert 1 <= len(twin.clean) == len(twin.coded.clip) == len(twin.masks) <= 10
    assert twin.damaged_slots() or len(twin.clean) < 10
    result = Judge(twin, Protocol(branch=branch, metrics=())).result(CONCEALMENT, twin.clean, twin.masks, 0.0)
    assert result.branch == branch and result["psnr_all"] == 100


def test_footage_can_be_cut_short(footage):
    assert len(make_twin(footage / "texture.h264", 0, Protocol(gop=5, crf=20, max_pictures=6)).clean) == 6


def test_models_of_a_chain_have_seeds_of_their_own():
    first, second = damage_of(Protocol(branch="ts:rate=0.1 + ts:rate=0.2"), seed=4)
    assert (first.channel.rate, second.channel.rate) == (0.1, 0.2) and first.seed == 4 != second.seed
    cut, _ = damage_of(Protocol(branch="124096 + truncate:fraction=0.5", gop=7), seed=4)
    assert cut.gop == 7


def test_access_units_that_are_gone_are_told(footage, monkeypatch):
    from b2scvr.bitstream.access_units import split_access_units

    def without_one(stream, models):
        units, suffix = split_access_units(stream)
        return b"".join([*units[:3], *units[4:]]) + suffix, []

    whole = make_twin(footage / "texture.h264", 0, Protocol(gop=5, crf=20))
    monkeypatch.setattr(twins, "damage_all", without_one)
    twin = make_twin(footage / "texture.h264", 0, Protocol(gop=5, crf=20))
    assert len(twin.clean) == 9 and twin.notes == ("1 access units are gone: the others are judged",)
    assert all((whole.clean == picture).all(axis=(1, 2, 3)).sum() == 1 for picture in twin.clean)


def test_twins_that_can_not_be_judged_are_told_and_the_others_done(footage, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    clips = [footage / "texture.h264", tmp_path / "broken.mp4"]
    skipped = []
    found = evaluate(clips, [0], [], Protocol(gop=5, crf=20, metrics=()), make, skipped=skipped)
    assert [result.clip for result in found] == ["texture"]
    assert len(skipped) == 1 and skipped[0].startswith("broken, seed 0: ") and "broken.mp4" in skipped[0]
    with pytest.raises(InputError, match=r"broken\.mp4"):
        evaluate(clips, [0], [], Protocol(gop=5, crf=20, metrics=()), make)
    with pytest.raises(InputError, match=r"broken\.mp4"):
        evaluate(clips[1:], [0], [], Protocol(metrics=()), make, skipped=[])


def test_a_worker_that_dies_costs_its_own_twin_only(footage, monkeypatch):
    clip, protocol = footage / "texture.h264", Protocol(gop=5, crf=20, metrics=())

    def lose_the_second(function, jobs, workers, start):
        for number, job in enumerate(jobs):
            future = Future()
            if number == 1:
                future.set_exception(WorkerLostError("the process that worked on it died"))
            else:
                future.set_result(function(*job))
            yield job, future

    monkeypatch.setattr(twins, "run_jobs", lose_the_second)
    [kept], told = run_twins(evaluate_twin, [(clip, 0), (clip, 1)], [], protocol, make, workers=2)
    assert kept.seed == 0 and told == "texture, seed 1: the process that worked on it died"
