import numpy as np
import pytest

from b2scvr.bitstream.assembly import blank_clip
from b2scvr.types import PictureType


@pytest.fixture
def parsed_clip():
    """Six intact pictures of a texture that moves 2 pixels to the right a picture; no vectors."""
    height, width, count = 96, 128, 6
    y, x = np.mgrid[0:height, 0:width]
    frames = [128 + 60 * np.sin((x - 2 * t) / 5) + 50 * np.cos(y / 7 + (x - 2 * t) / 11) for t in range(count)]
    clip = blank_clip(np.repeat(np.stack(frames)[..., None], 3, axis=3).astype(np.uint8), 25.0, "h264", "")
    clip.picture_type[:] = PictureType.P
    clip.decode_index[:] = np.arange(count)
    return clip.validate()
