"""Losses of windows: known values, weights, what does not belong together; hinge; VGG features."""

import pytest
import torch

from b2scvr.checkpoints.known import VARIABLE, MissingWeightsError
from b2scvr.checkpoints.load import WeightsMismatchError
from b2scvr.losses.adversarial import discriminator_hinge, generator_hinge
from b2scvr.losses.perceptual import PerceptualLoss
from b2scvr.losses.window import flow_loss, window_losses


@pytest.fixture
def window():
    target = torch.rand(2, 3, 3, 8, 8)
    mask = torch.zeros(2, 3, 1, 8, 8)
    mask[:, :2, :, :4] = 1
    return target, mask


def test_distances_are_means_over_their_own_areas(window):
    target, mask = window
    wrong = target + 0.25 * mask - 0.5 * (1 - mask)
    terms = window_losses(wrong, target, mask, hole_weight=2.0, valid_weight=1.0)
    assert terms["hole"].item() == pytest.approx(0.5, rel=1e-5)
    assert terms["valid"].item() == pytest.approx(0.5, rel=1e-5)
    assert set(window_losses(wrong, target, mask, hole_weight=0)) == {"valid"}


def test_an_empty_mask_costs_nothing_inside_and_all_outside(window):
    target, mask = window
    terms = window_losses(target + 0.5, target, mask * 0)
    assert terms["hole"] == 0 and terms["valid"].item() == pytest.approx(0.5, rel=1e-5)
    assert window_losses(target + 0.5, target, torch.ones_like(mask))["valid"] == 0


def test_shapes_that_do_not_belong_together_are_named(window):
    target, mask = window
    with pytest.raises(ValueError, match=r"target \[2, 3, 3, 8, 8\] and mask \[2, 3, 1, 8, 7\]"):
        window_losses(target, target, mask[..., :7])


def test_flow_is_compared_in_both_directions():
    flow = torch.rand(1, 2, 2, 4, 4)
    assert flow_loss((flow, flow), (flow, flow)) == 0
    assert flow_loss((flow + 1, flow), (flow, flow - 0.5)).item() == pytest.approx(1.5, rel=1e-5)
    nothing = torch.zeros(1, 0, 2, 4, 4)
    assert flow_loss((nothing, nothing), (nothing, nothing)) == 0


def test_hinge_is_zero_for_a_sure_discriminator_and_rises_for_the_other_side():
    sure, unsure = torch.full((2, 3), 1.5), torch.zeros(2, 3)
    assert [term.item() for term in discriminator_hinge(sure, -sure)] == [0, 0]
    assert [term.item() for term in discriminator_hinge(unsure, unsure)] == [1, 1]
    assert generator_hinge(sure).item() == -1.5


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory):
    """Weights of VGG-16's first layers, drawn."""
    from torchvision.models import vgg16

    torch.manual_seed(0)
    with torch.device("meta"):
        shapes = vgg16(weights=None).features[:16].state_dict()
    weights = {f"features.{name}": torch.randn(value.shape) * 0.05 for name, value in shapes.items()}
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    torch.save(weights | {"classifier.0.weight": torch.zeros(1)}, path)
    return path


def test_perceptual_distance_is_zero_for_the_same_and_has_a_gradient_for_the_pictures_alone(vgg_file):
    loss = PerceptualLoss(vgg_file)
    target = torch.rand(2, 3, 16, 16)
    assert loss(target, target) == 0
    pictures = (target + 0.1).requires_grad_()
    near, far = loss(pictures, target), loss(target + 0.3, target)
    near.backward()
    assert 0 < near < far and pictures.grad.abs().max() > 0
    assert not any(p.requires_grad for p in loss.parameters())


def test_missing_and_other_weights_of_vgg_are_named(tmp_path, monkeypatch):
    for name in ("TORCH_HOME", "HF_HOME", VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        MissingWeightsError, match=r"vgg16-397923af\.pth, which is not found.*leave perceptual_weight out"
    ):
        PerceptualLoss()
    with pytest.raises(MissingWeightsError, match=r"not at absent\.pth"):
        PerceptualLoss("absent.pth")
    torch.save({"features.0.weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(WeightsMismatchError, match="not the weights of torchvision's VGG-16: 13 missing"):
        PerceptualLoss(tmp_path / "other.pth")
