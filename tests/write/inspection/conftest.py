"""A clip made by hand, of which a test says what it wants to see."""

import numpy as np
import pytest

from b2scvr.bitstream.assembly import blank_clip


@pytest.fixture
def bare():
    """Three grey pictures of 128x64 of an H.264 clip without any evidence: 4 x 8 macroblocks."""
    clip = blank_clip(np.full((3, 64, 128, 3), 120, np.uint8), 25.0, "h264", "")
    clip.decode_index[:] = (0, 2, 1)
    return clip
