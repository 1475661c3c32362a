"""Clips that are made of nothing but what a test says of them."""

import numpy as np
import pytest

from b2scvr.bitstream.assembly import blank_clip
from b2scvr.types import AccessUnitStatus


@pytest.fixture
def make_clip():
    """make(status, scenes, codec) -> a clip of 32x48 pictures; in broken ones the lower row is concealed."""

    def make(status, scenes=None, codec="h264"):
        scenes = [0] * len(status) if scenes is None else scenes
        backgrounds = [scene(number) for number in range(max(scenes) + 1)]
        clip = blank_clip(np.stack([backgrounds[number] for number in scenes]), 25.0, codec, "")
        clip.status[:] = status
        clip.decode_index[:] = np.arange(len(status))
        clip.is_key[::16] = True
        clip.concealed[clip.status == AccessUnitStatus.BROKEN, 1] = True
        return clip

    return make


def scene(number):
    """A smooth picture of its own for each number, uint8 [32, 48, 3]."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[0:32, 0:48].astype(np.float32)
    waves = [(rng.uniform(0.1, 0.4, 2), rng.uniform(0, 6.28), rng.uniform(30, 60, 3)) for _ in range(3)]
    picture = 128 + sum(a * np.sin(f[0] * y + f[1] * x + p)[..., None] for f, p, a in waves)
    return np.clip(picture, 0, 255).astype(np.uint8)
