"""The full network for the pipeline: one broken picture, and whole clips at their own or another size."""

import numpy as np
import pytest
import torch

from b2scvr.cfc import GeneratorRestorer, PictureRestorer, make_restorer
from b2scvr.cfc.clip_restorer import ClipRestorer
from b2scvr.cfc.splice_windows import SpliceRestorer


@pytest.fixture
def clip():
    rng = np.random.default_rng(0)
    masks = np.zeros((7, 24, 36), np.uint8)
    masks[2:5, 6:15, 4:20] = 1
    return rng.integers(0, 256, (7, 24, 36, 3), np.uint8), masks


@pytest.mark.parametrize("preset", ["official", "corrected"])
@pytest.mark.parametrize("current", [0, 2, 3])
def test_a_broken_picture_is_restored_as_by_the_whole_network(generator, scene, preset, current):
    network = generator(preset)
    window, mask = scene(local=4)
    with torch.inference_mode():
        expected = network.restore_picture(window, current, mask[:, 0])
    found = SpliceRestorer(network).restore_picture(window, current, mask[:, 0])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    assert not torch.equal(found, window[:, current])


def test_a_batch_and_an_empty_mask(generator, scene):
    network = generator()
    restorer = SpliceRestorer(network)
    window, mask = scene(2, local=4)
    with torch.inference_mode():
        torch.testing.assert_close(
            restorer.restore_picture(window, 1, mask[:, 0]), network.restore_picture(window, 1, mask[:, 0])
        )
    assert torch.equal(restorer.restore_picture(window[:1], 1, 0 * mask[:1, 0]), window[:1, 1])


def test_each_network_has_its_restorer(generator, build):
    assert isinstance(make_restorer(generator(), schedule="fast"), GeneratorRestorer)
    assert type(make_restorer(build())) is PictureRestorer


def test_a_clip_at_its_own_size(generator, clip):
    pictures, masks = clip
    told = []
    restorer = GeneratorRestorer(generator())
    found = restorer.restore_clip(pictures, masks, None, lambda *progress: told.append(progress))
    assert np.array_equal(found, np.stack(list(ClipRestorer(generator()).restore(pictures, masks))))
    assert told == [("recover", n, 7) for n in range(1, 8)]


@pytest.mark.parametrize("size", [(18, 12), (50, 30)])
def test_a_clip_worked_at_another_size_keeps_what_is_right(generator, clip, size):
    pictures, masks = clip
    found = GeneratorRestorer(generator()).restore_clip(pictures, masks, size, lambda *_: None)
    assert found.shape == pictures.shape
    assert np.array_equal(found[masks == 0], pictures[masks == 0])
    assert not np.array_equal(found[masks > 0], pictures[masks > 0])
