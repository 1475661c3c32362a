"""Moving content, and a plain decoder that shows what any player would."""

import av
import cv2
import numpy as np
import pytest

from b2scvr.bitstream.nal import scan
from b2scvr.bitstream.planes import planes_from_frame
from b2scvr.bitstream.slice_header import parse_slice_header
from b2scvr.bitstream.syntax import ParameterSets


def moving_pictures(pictures=20, height=96, width=128, seed=0, noise=2.0, fade=0.0):
    """A textured object that moves over a moving texture, with noise and a fade, uint8 [T, H, W, 3]."""
    rng = np.random.default_rng(seed)
    size = (height + 80, width + 4 * pictures, 3)
    ground, thing = (
        np.clip((cv2.GaussianBlur(rng.integers(0, 256, size).astype(np.float32), (0, 0), 2) - 128) * 4 + 128, 0, 255)
        for _ in range(2)
    )
    out = []
    for t in range(pictures):
        picture = ground[20 : 20 + height, t : t + width].copy()
        rows, columns = picture[height // 4 : 3 * height // 4, 4 + 2 * t : 60 + 2 * t].shape[:2]
        picture[height // 4 : 3 * height // 4, 4 + 2 * t : 60 + 2 * t] = thing[:rows, :columns]
        picture = picture * (1 - fade * t) + rng.normal(0, noise, picture.shape)
        out.append(np.clip(picture, 0, 255).astype(np.uint8))
    return np.stack(out)


def decode_planes(units, cropped=True):
    """Decode access units; return (planes by decode index, in display order; messages of level warning and above)."""
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_type, decoder.thread_count = "SLICE", 1
    decoder.options = {"flags": "+output_corrupt", "flags2": "+showall", "apply_cropping": "1" if cropped else "0"}
    found = {}
    av.logging.set_level(av.logging.WARNING)
    av.logging.set_skip_repeated(False)
    with av.logging.Capture() as logs:
        for index, unit in enumerate([*units, None]):
            packet = None
            if unit is not None:
                packet = av.Packet(unit)
                packet.pts = packet.dts = index
            found |= {frame.pts: planes_from_frame(frame) for frame in decoder.decode(packet)}
    # How far pictures are out of order is guessed first where no VUI tells: no error.
    return found, [message for _, _, message in logs if not message.startswith("Increasing reorder buffer")]


def split_units(stream):
    """Return the access units of a stream with one slice a picture, in decoding order."""
    units, start = [], 0
    for nal in scan(stream):
        if nal.is_slice:
            units.append(stream[start : nal.end])
            start = nal.end
    return units


def slice_headers(units):
    """Return the header of the first slice of each access unit."""
    sets, out = ParameterSets(), []
    for unit in units:
        sets.update(unit)
        nal = next(nal for nal in scan(unit) if nal.is_slice)
        out.append(parse_slice_header(unit[nal.payload : nal.end], sets))
    return out


def same(first, second):
    """Whether two pictures' planes are equal."""
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in "yuv")


@pytest.fixture(scope="session")
def moving():
    return moving_pictures


@pytest.fixture(scope="session")
def play():
    return decode_planes


@pytest.fixture(scope="session")
def units_of():
    return split_units


@pytest.fixture(scope="session")
def headers_of():
    return slice_headers


@pytest.fixture(scope="session")
def same_planes():
    return same
