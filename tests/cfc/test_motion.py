"""Flow of a window from the bitstream's vectors: known translations, holes, refinement, and what is refused."""

import pytest
import torch

from b2scvr.cfc.motion import WindowFlow, filled_from_neighbours, on_feature_grid, vectors_of_motion
from b2scvr.layers.spynet import SPyNet

STEP = (6.0, -2.0)  # (x, y) pixels a picture


def translation(pairs=2, rows=5, columns=7, step=STEP):
    """Vectors of a scene that moves by `step` from picture to picture, everywhere."""
    vectors = torch.ones(1, 2, pairs, 3, rows, columns)
    vectors[:, 0, :, :2] = torch.tensor(step).view(2, 1, 1)
    vectors[:, 1, :, :2] = -torch.tensor(step).view(2, 1, 1)
    return vectors


def assert_translation(flow, step, exact=True):
    wanted = torch.tensor(step).view(2, 1, 1).expand_as(flow) / 4
    assert torch.equal(flow, wanted) if exact else torch.allclose(flow, wanted, atol=1e-5)


def still_network(levels=3):
    """SPyNet that adds nothing to the flow it is given."""
    network = SPyNet(widths=(4,), levels=levels)
    for level in network.levels:
        torch.nn.init.zeros_(level[-1].weight)
        torch.nn.init.zeros_(level[-1].bias)
    return network


@pytest.mark.parametrize(("source", "holes"), [("codec", "spynet"), ("codec", "neighbours"), ("codec_start", "spynet")])
def test_a_translation_is_exactly_that_flow_on_the_feature_grid(source, holes):
    pictures = torch.rand(1, 3, 3, 40, 56)
    network = still_network() if holes == "spynet" else None
    forward, backward = WindowFlow(source, holes)(network, pictures, translation())
    assert forward.shape == backward.shape == (1, 2, 2, 10, 14)
    assert_translation(forward, STEP, exact=source == "codec")
    assert_translation(backward, (-STEP[0], -STEP[1]), exact=source == "codec")


def test_refinement_starts_at_the_vectors_and_goes_on_from_there():
    torch.manual_seed(0)
    network = SPyNet(widths=(4,), levels=3)
    pictures, vectors = torch.rand(1, 2, 3, 40, 56), translation(1)
    refined, _ = WindowFlow("codec_start")(network, pictures, vectors)
    alone, _ = WindowFlow()(network, pictures, None)
    unknown, _ = WindowFlow("codec_start")(network, pictures, torch.zeros_like(vectors))
    assert torch.equal(unknown, alone) and not torch.allclose(refined, alone, atol=1e-2)
    coarse = [parameter for parameter in network.levels[0].parameters()]
    refined.sum().backward()
    assert all(p.grad is None or p.grad.abs().max() == 0 for p in coarse)


def test_the_estimate_fills_the_holes_of_the_vectors():
    torch.manual_seed(0)
    network = SPyNet(widths=(4,), levels=2)
    pictures, vectors = torch.rand(1, 2, 3, 32, 32), translation(1, 4, 4)
    vectors[:, 0, :, 2, 1:3, 1:3] = 0
    vectors[:, 0, :, :2, 1:3, 1:3] = 1e6
    forward, _ = WindowFlow("codec")(network, pictures, vectors)
    estimate, _ = WindowFlow()(network, pictures, None)
    hole = torch.zeros(8, 8, dtype=torch.bool)
    hole[2:6, 2:6] = True
    assert torch.equal(forward[..., hole], estimate[..., hole])
    assert (forward[..., ~hole] == torch.tensor(STEP).view(2, 1) / 4).all()


def test_holes_take_the_opposite_vectors_then_the_pairs_beside_then_those_around():
    vectors = translation(3)
    vectors[:, 0, 0] = 0  # told by the opposite direction and by the next pair
    vectors[:, :, 2] = 0  # told by the pair before
    vectors[:, :, :, :, 2, 3] = 0  # told by the cells around
    filled = filled_from_neighbours(vectors)
    torch.testing.assert_close(filled, translation(3))
    assert torch.equal(filled_from_neighbours(torch.zeros_like(vectors))[..., :2, :, :], vectors[..., :2, :, :] * 0)


def test_beyond_the_vectors_nothing_is_known():
    flow, valid = on_feature_grid(translation(1, 2, 2), (6, 5))
    assert valid[0, 0, 0, 0].tolist() == [[1, 1, 1, 1, 0]] * 4 + [[0] * 5] * 2
    assert (flow * (1 - valid) == 0).all()


def test_motion_from_one_picture_becomes_flow_between_neighbours():
    """A translation again, told from picture 1 of 4."""
    motion = (
        torch.stack([torch.tensor(STEP) * (n - 1) for n in range(4)]).view(1, 4, 2, 1, 1).expand(-1, -1, -1, 36, 50)
    )
    vectors = vectors_of_motion(motion, 1)
    assert vectors.shape == (1, 2, 3, 3, 5, 7)
    torch.testing.assert_close(vectors, translation(3))
    assert vectors_of_motion(motion[:, :1], 0).shape == (1, 2, 0, 3, 5, 7)


def test_one_picture_has_no_flow():
    forward, backward = WindowFlow("codec")(None, torch.rand(2, 1, 3, 24, 24), None)
    assert forward.shape == backward.shape == (2, 0, 2, 6, 6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(source="dis"), "flow.source must be one of spynet, codec, codec_start, got 'dis'"),
        (dict(source="codec", holes="zero"), "flow.holes must be one of spynet, neighbours"),
        (dict(source="spynet", holes="neighbours"), "is of the source 'codec', got source 'spynet'"),
    ],
)
def test_nonsense_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        WindowFlow(**arguments)


def test_missing_vectors_are_named_with_the_way_out():
    with pytest.raises(ValueError, match=r"needs the vectors of the bitstream.*flow\.source='spynet'"):
        WindowFlow("codec_start")(still_network(), torch.rand(1, 2, 3, 24, 24), None)


@pytest.mark.parametrize("source", ["codec", "codec_start"])
def test_the_generator_follows_the_vectors(generator, scene, source):
    network = generator(flow=dict(widths=(4,), levels=2, source=source))
    pictures, mask = scene()
    out = network(pictures, mask, 3, vectors=translation(2, 4, 7))
    if source == "codec":
        assert_translation(out.flow_forward[..., :8, :12], STEP)
    moved = network(pictures, mask, 3, vectors=translation(2, 4, 7, (0.0, 8.0)))
    assert not torch.equal(out.pictures, moved.pictures)
    with pytest.raises(ValueError, match=r"vectors is \[1, 2, 2, 3, 4, 6\], pictures .* \[1, 2, 2, 3, 4, 7\]"):
        network(pictures, mask, 3, vectors=translation(2, 4, 6))


def test_a_generator_without_an_estimate_has_no_weights_for_it(generator, scene, inputs):
    network = generator(flow=dict(source="codec", holes="neighbours"), frozen=("trunk", "embedder", "flow"))
    assert network.flow is None and not any(name.startswith("flow.") for name in network.state_dict())
    pictures, mask = scene()
    assert torch.isfinite(network(pictures, mask, 3, vectors=translation(2, 4, 7) * 0).pictures).all()
    assert network.restore_picture(**inputs()).shape == (1, 3, 36, 50)
