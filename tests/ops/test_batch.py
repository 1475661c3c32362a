"""Surroundings as tensors."""

import numpy as np
import torch

from b2scvr.ops.batch import macroblocks_to_pixels, pictures_to_tensor, tensor_to_picture, to_tensors
from b2scvr.types import Surroundings


def test_pictures_survive_the_round_trip():
    pictures = np.arange(256, dtype=np.uint8).repeat(3).reshape(2, 8, 16, 3)
    tensor = pictures_to_tensor(pictures)
    assert tensor.shape == (2, 3, 8, 16)
    assert tensor.max() == 1
    for i in range(2):
        np.testing.assert_array_equal(tensor_to_picture(tensor[i]), pictures[i])


def test_values_outside_the_range_are_clipped():
    picture = tensor_to_picture(torch.tensor([-0.5, 0.5, 1.5]).view(3, 1, 1))
    assert picture.tolist() == [[[0, 128, 255]]]


def test_macroblocks_to_pixels():
    grid = torch.tensor([[1.0, 2.0]]).view(1, 1, 1, 2)
    pixels = macroblocks_to_pixels(grid, (10, 20))
    assert pixels.shape == (1, 1, 10, 20)
    assert (pixels[..., :16] == 1).all()
    assert (pixels[..., 16:] == 2).all()


def test_shapes_of_surroundings():
    rng = np.random.default_rng(0)
    around = Surroundings(
        index=3,
        window=rng.integers(0, 256, (4, 20, 33, 3), dtype=np.uint8),
        current=2,
        distance=np.array([-2, -1, 0, 3], np.float32),
        motion=rng.normal(size=(4, 20, 33, 2)).astype(np.float32),
        candidates=rng.integers(0, 256, (6, 20, 33, 3), dtype=np.uint8),
        candidate_valid=np.ones((6, 20, 33), np.float32),
        evidence=np.zeros((20, 2, 3), np.float32),
        damage_trace=np.zeros((2, 3), np.float32),
        concealed=np.zeros((2, 3), bool),
        slice_start=np.zeros((2, 3), bool),
        broken=True,
    )
    tensors = to_tensors(around)
    assert {name: tuple(x.shape) for name, x in tensors.items()} == {
        "window": (4, 3, 20, 33),
        "candidates": (6, 3, 20, 33),
        "candidate_valid": (6, 20, 33),
        "motion": (4, 2, 20, 33),
        "distance": (4,),
        "evidence": (20, 2, 3),
    }
    assert all(x.dtype == torch.float32 for x in tensors.values())
    assert tensors["motion"][1, 0, 5, 7] == around.motion[1, 5, 7, 0]
