import json

import numpy as np
import pytest

from b2scvr.metrics import MAX_PSNR_DB, perceptual
from b2scvr.metrics.clip import Comparison


@pytest.fixture
def clips():
    clean = np.full((4, 32, 32, 3), 100, np.uint8)
    decoded, recovered = clean.copy(), clean.copy()
    decoded[2, :16] = 140
    recovered[2, :16] = 120
    masks = np.zeros((4, 32, 32), np.uint8)
    masks[2, :16] = 1
    return decoded, recovered, masks, clean


def compare(*clips):
    comparison = Comparison()
    comparison.add(*clips)
    return comparison.summary()


def test_pictures_may_come_in_lots(clips):
    comparison = Comparison()
    for lot in (slice(0, 2), slice(2, 3), slice(3, 4)):
        comparison.add(*(clip[lot] for clip in clips))
    assert comparison.summary() == compare(*clips)


def test_all_frames_and_damaged_frames(clips):
    found = compare(*clips)
    error = lambda levels: 10 * np.log10(2 * 255**2 / levels**2)  # noqa: E731 - half of the picture is off
    assert found["psnr"]["damaged"] == pytest.approx({"decoded": error(40), "recovered": error(20)})
    assert found["psnr"]["recovered"] == pytest.approx((3 * MAX_PSNR_DB + error(20)) / 4)
    assert found["damaged_frames"] == 1
    assert found["iou"] == found["precision"] == found["recall"] == 1
    assert len(found["per_frame"]["psnr_decoded"]) == 4
    assert found["ssim"]["recovered"] > found["ssim"]["decoded"]
    json.dumps(found)


def test_nothing_damaged(clips):
    _, _, masks, clean = clips
    found = compare(clean, clean, np.zeros_like(masks), clean)
    assert found["psnr"] == {"decoded": 100, "recovered": 100, "damaged": {"decoded": None, "recovered": None}}
    assert found["iou"] == 1 and found["damaged_frames"] == 0


def test_detection_only_judges_masks(clips):
    decoded, _, masks, clean = clips
    assert set(compare(decoded, None, masks, clean)) == {"iou", "precision", "recall", "damaged_frames"}


def test_lpips_without_weights_is_null_with_a_note(clips, monkeypatch, tmp_path):
    pytest.importorskip("lpips")
    monkeypatch.setattr(perceptual, "find_weights", lambda known: None)
    found = compare(*clips)
    assert found["lpips"] is None and "no LPIPS: AlexNet's weights" in found["notes"][0]
    with pytest.raises(perceptual.LpipsUnavailableError, match="B2SCVR_WEIGHTS"):
        perceptual.lpips(clips[0], clips[3], weights=tmp_path / "absent.pth")


def test_lpips_without_its_package_names_the_extra(clips, monkeypatch):
    monkeypatch.setattr(perceptual.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(perceptual.LpipsUnavailableError, match=r"\.\[metrics\]"):
        perceptual.lpips(clips[0], clips[3])


@pytest.fixture
def alexnet(tmp_path, monkeypatch):
    """Random weights under torchvision's name, in the folder that the environment variable names."""
    pytest.importorskip("lpips")
    torch, models = pytest.importorskip("torch"), pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    features = {f"features.{key}": value for key, value in models.alexnet().features.state_dict().items()}
    torch.save(features, tmp_path / perceptual.ALEXNET.file)
    monkeypatch.setenv("B2SCVR_WEIGHTS", str(tmp_path))
    return features


def test_lpips_takes_the_weights_that_the_variable_names(clips, alexnet):
    decoded, recovered, _, clean = (
        np.repeat(np.repeat(clip, 2, 1), 2, 2) for clip in (clips[0], clips[1], clips[3], clips[3])
    )
    found = perceptual.lpips(decoded, clean)
    assert found[0] == 0 and found[2] > perceptual.lpips(recovered, clean)[2] > 0
    model = perceptual._model(perceptual.find_weights(perceptual.ALEXNET), "cpu")
    assert np.array_equal(model.net.slice5[0].weight.detach().numpy(), alexnet["features.10.weight"].numpy())
