"""VFID: the Frechet distance against its closed form, and I3D against what is known of the published network."""

import numpy as np
import pytest

from b2scvr.metrics.features import FeaturesUnavailableError, make_features
from b2scvr.metrics.vfid import frechet_distance

torch = pytest.importorskip("torch")

from b2scvr.metrics.i3d import I3D, I3d, I3dFeatures, max_pool_same, pad_same  # noqa: E402


def test_the_distance_of_a_set_to_itself_is_nothing():
    vectors = np.random.default_rng(0).normal(size=(5, 12))
    assert frechet_distance(vectors, vectors) == pytest.approx(0, abs=1e-12)
    assert frechet_distance(vectors, vectors + 2) == pytest.approx(12 * 4)


def test_one_dimension_has_a_closed_form():
    a, b = np.array([[0.0], [2.0], [4.0]]), np.array([[1.0], [2.0]])
    expected = (2 - 1.5) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2
    assert frechet_distance(a, b) == pytest.approx(expected)


def test_it_agrees_with_the_matrix_root():
    linalg = pytest.importorskip("scipy.linalg")
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(40, 6)), rng.normal(1, 2, size=(30, 6)) @ rng.normal(size=(6, 6))
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    root = np.real(linalg.sqrtm(cov_a @ cov_b))
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(cov_a + cov_b - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected)


def test_too_few_vectors_are_refused():
    with pytest.raises(ValueError, match="2 vectors"):
        frechet_distance(np.zeros((1, 4)), np.zeros((3, 4)))


def test_padding_is_tensorflows():
    line = torch.arange(1.0, 6).view(1, 1, 1, 1, 5)
    assert pad_same(line, (1, 1, 3), (1, 1, 2))[0, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 0]
    assert pad_same(line[..., :4], (1, 1, 3), (1, 1, 2))[0, 0, 0, 0].tolist() == [1, 2, 3, 4, 0]
    assert max_pool_same(line, (1, 1, 2), (1, 1, 2))[0, 0, 0, 0].tolist() == [2, 4, 5]


@pytest.fixture(scope="module")
def i3d_file(tmp_path_factory):
    """Random weights in the published layout, classifier included."""
    torch.manual_seed(0)
    state = I3d().state_dict()
    state |= {"logits.conv3d.weight": torch.zeros(400, 1024, 1, 1, 1), "logits.conv3d.bias": torch.zeros(400)}
    path = tmp_path_factory.mktemp("weights") / I3D.file
    torch.save(state, path)
    return path


def test_the_network_has_the_published_layout():
    state = I3d().state_dict()
    assert state["Conv3d_1a_7x7.conv3d.weight"].shape == (64, 3, 7, 7, 7)
    assert state["Mixed_4f.b1b.conv3d.weight"].shape == (320, 160, 3, 3, 3)
    assert state["Mixed_5c.b3b.bn.running_var"].shape == (128,)
    # 57 convolutions, each with a weight and a normalisation of five; with the classifier 12.70 million parameters.
    assert len(state) == 57 * 6
    assert sum(p.numel() for p in I3d().parameters()) == 12_287_264


def test_features_of_a_clip(i3d_file):
    clip = np.random.default_rng(0).integers(0, 256, (9, 40, 48, 3), np.uint8)
    by_clip, by_training = I3dFeatures(i3d_file), I3dFeatures(i3d_file, batch_statistics=False)
    found = by_clip(clip)
    assert found.shape == (1024,) and np.isfinite(found).all() and found.std() > 0
    assert np.array_equal(found, by_clip(clip)), "the network learns nothing from what it sees"
    assert not np.allclose(found, by_training(clip))


def test_weights_that_are_absent_or_others(tmp_path, monkeypatch):
    monkeypatch.setattr("b2scvr.metrics.i3d.find_weights", lambda known: None)
    with pytest.raises(FeaturesUnavailableError, match="on this machine"):
        I3dFeatures()
    with pytest.raises(FeaturesUnavailableError, match="--i3d"):
        I3dFeatures(tmp_path / "absent.pt")
    torch.save({"some.weight": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="published weights"):
        I3dFeatures(tmp_path / "other.pt")


def test_any_extractor_can_be_named(i3d_file, tmp_path, monkeypatch):
    assert isinstance(make_features("i3d", str(i3d_file)), I3dFeatures)
    (tmp_path / "own_features.py").write_text(
        "def colour(weights, device):\n    return lambda clip: clip.mean((0, 1, 2))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert make_features("own_features:colour")(np.full((2, 4, 4, 3), 7, np.uint8)).tolist() == [7, 7, 7]
    for name, message in (("r3d", "MODULE:FACTORY"), ("no_such_module:f", "no_such_module"), ("own_features:f", "'f'")):
        with pytest.raises(ValueError, match=message):
            make_features(name)
