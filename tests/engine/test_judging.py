"""The judge: known figures for known pictures, at the protocol's size, over the pictures that the protocol counts."""

import numpy as np
import pytest

from b2scvr.bitstream.assembly import CodedClip, blank_clip
from b2scvr.engine import judging
from b2scvr.engine.judging import Judge, missing_metrics
from b2scvr.engine.protocol import PROTOCOLS, Protocol, named_protocol
from b2scvr.engine.twins import Twin
from b2scvr.metrics.masks import mask_truth
from b2scvr.types import AccessUnitStatus


@pytest.fixture
def twin():
    """Three still pictures; the second is off by 20 in its upper half, the third by 5 everywhere: that nobody sees."""
    clean = np.full((3, 80, 96, 3), 100, np.uint8)
    damaged = clean.copy()
    damaged[1, :40] += 20
    damaged[2] += 5
    clip = blank_clip(damaged, 25.0, "h264", "")
    clip.status[1] = AccessUnitStatus.BROKEN
    return Twin("still", 0, clean, CodedClip(clip, []), mask_truth(damaged, clean), ("a note",))


def half_off(levels):
    return 10 * np.log10(2 * 255**2 / levels**2)


def test_figures_of_the_damaged_pictures_themselves(twin):
    found = Judge(twin, Protocol()).result("concealment", twin.coded.clip.frames, twin.masks, 0.0)
    assert (found.damaged, found.broken) == (2, 1)
    assert found["psnr_broken"] == pytest.approx(half_off(20))
    assert found["psnr_dependent"] == pytest.approx(10 * np.log10(255**2 / 25))
    assert found["psnr"] == pytest.approx((found["psnr_broken"] + found["psnr_dependent"]) / 2)
    assert found["psnr_all"] == pytest.approx((100 + 2 * found["psnr"]) / 3)
    assert found["iou"] == found["boundary_f"] == found["boundary_f_all"] == 1
    assert found["warping_clean"] == 0 < found["warping_error_all"] == found["warping_error"]
    assert 0 < found["ssim"] < found["ssim_all"] < 1 and 0 < found["ssim65"] < found["ssim65_all"] < 1
    assert found.notes == ("a note",) and found.features is None


def test_the_truth_has_the_best_of_everything(twin):
    judge = Judge(twin, Protocol())
    assert judge.result("concealment", twin.coded.clip.frames, twin.masks, 0.0)["psnr"] < 100
    found = judge.result("oracle", twin.clean, np.zeros_like(twin.masks), 1.0, told="true masks")
    assert (
        found["psnr"] == found["psnr_all"] == 100
        and found["ssim"] == found["ssim65"] == 1
        and found["warping_error"] == 0
    )
    assert found["recall"] == 0 and found["boundary_f"] < 1 and found.told == "true masks"


def test_without_a_bitstream_broken_and_dependent_are_not_told_apart(twin):
    twin.coded.clip.status[:] = AccessUnitStatus.INTACT
    found = Judge(twin, Protocol()).result("c", twin.coded.clip.frames, twin.masks, 0.0)
    assert (found.damaged, found.broken) == (2, 0) and found["psnr"] < 100
    assert found["psnr_broken"] is found["psnr_dependent"] is found["iou_dependent"] is None


def test_lost_pictures_lost_bits_of_their_own(twin):
    twin.coded.clip.status[2] = AccessUnitStatus.LOST
    found = Judge(twin, Protocol()).result("c", twin.coded.clip.frames, twin.masks, 0.0)
    assert (found.damaged, found.broken) == (2, 2) and found["psnr_dependent"] is None


def test_pictures_with_a_mask_count_where_the_protocol_says_so(twin):
    found = Judge(twin, Protocol(counted="masked")).result("c", twin.coded.clip.frames, twin.masks, 0.0)
    assert (found.damaged, found.broken) == (1, 1) and found["psnr"] == pytest.approx(half_off(20))


def test_pictures_are_judged_at_the_size_of_the_protocol(twin):
    found = Judge(twin, Protocol(size=(48, 40))).result("c", twin.coded.clip.frames, twin.masks, 0.0)
    assert found["psnr_broken"] == pytest.approx(half_off(20), abs=0.3)
    assert found["ssim"] is not None and found["ssim65"] is None, "its window does not fit"
    assert found["iou"] == pytest.approx(1, abs=0.1)


def test_only_wanted_metrics_are_computed(twin):
    found = Judge(twin, Protocol(metrics=())).result("c", twin.coded.clip.frames, twin.masks, 0.0)
    assert found["psnr"] is not None and found["iou"] == 1
    assert found["ssim"] is found["ssim65"] is found["warping_error"] is found["boundary_f"] is None


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setattr("b2scvr.metrics.perceptual.find_weights", lambda known: None)
    protocol = Protocol(i3d="absent.pt")
    missing = missing_metrics(protocol, (40, 48))
    assert set(missing) == {"lpips", "vfid", "ssim65"}
    assert "absent.pt" in missing["vfid"] and "48x40" in missing["ssim65"]
    assert missing_metrics(Protocol(metrics=("ssim",))) == {}


def test_features_of_any_extractor_are_kept(twin, monkeypatch):
    monkeypatch.setattr(judging, "video_features", lambda name, weights, device: lambda clip: clip.mean(axis=(0, 1, 2)))
    found = Judge(twin, Protocol(metrics=("vfid",))).result("c", twin.coded.clip.frames, twin.masks, 0.0)
    own, clean = found.features
    assert clean.tolist() == [100] * 3 and (own > clean).all()


def test_protocols_have_names():
    assert set(PROTOCOLS) == {"ours", "bscv-240p", "bscv-native", "blind-b2scvr", "m-gdm"}
    assert named_protocol("m-gdm").size == (448, 256) and "448x256, blind" in named_protocol("m-gdm").described()
    assert named_protocol("bscv-240p", branch="124096").masks == "given"
    with pytest.raises(ValueError, match="known are ours"):
        named_protocol("none")
