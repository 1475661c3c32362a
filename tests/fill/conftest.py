import numpy as np
import pytest

from b2scvr.types import MB_SIZE, MV_BLOCK, ParsedClip


@pytest.fixture
def parsed_clip():
    """Six intact pictures of a texture that moves 2 pixels to the right a picture; no vectors."""
    height, width, count = 96, 128, 6
    y, x = np.mgrid[0:height, 0:width]
    frames = [128 + 60 * np.sin((x - 2 * t) / 5) + 50 * np.cos(y / 7 + (x - 2 * t) / 11) for t in range(count)]
    grid16 = (count, height // MB_SIZE, width // MB_SIZE)
    grid8 = (count, height // MV_BLOCK, width // MV_BLOCK)
    return ParsedClip(
        frames=np.repeat(np.stack(frames)[..., None], 3, axis=3).astype(np.uint8),
        picture_type=np.ones(count, np.uint8),
        mv_past=np.zeros((*grid8, 2), np.float32),
        mv_future=np.zeros((*grid8, 2), np.float32),
        mv_past_valid=np.zeros(grid8, bool),
        mv_future_valid=np.zeros(grid8, bool),
        mode=np.zeros(grid16, np.uint8),
        partition=np.zeros(grid16, np.uint8),
        qp=np.zeros(grid16, np.int8),
        concealed=np.zeros(grid16, bool),
        slice_start=np.zeros(grid16, bool),
        damage_trace=np.zeros(grid16, np.float32),
        lost=np.zeros(count, bool),
        is_corrupt=np.zeros(count, bool),
        status=np.zeros(count, np.uint8),
        is_reference=np.ones(count, bool),
        is_key=np.zeros(count, bool),
        decode_index=np.arange(count, dtype=np.int32),
        fps=25.0,
        codec="h264",
        source_sha256="",
    ).validate()
