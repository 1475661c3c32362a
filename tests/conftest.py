"""What every test may use: one thread, and small streams of known content made on the spot."""

import contextlib
import io
import os
import resource

os.environ.setdefault("OMP_NUM_THREADS", "1")  # small tensors: more threads only wait for one another

import av
import numpy as np
import pytest

from b2scvr.bitstream.damage import CutModel, damage
from b2scvr.bitstream.encode import encode_h264


def moving_texture(pictures=24, height=96, width=128, step=(2, 1)):
    """A smooth colour texture that moves by `step` (x, y) pixels a picture, uint8 [T, H, W, 3]."""
    rng = np.random.default_rng(7)
    room_x, room_y = pictures * step[0], pictures * step[1]
    big = rng.integers(0, 255, (height + room_y, width + room_x)).astype(np.float32)
    for axis in (0, 1) * 3:
        big = (np.roll(big, 1, axis) + big + np.roll(big, -1, axis)) / 3
    big = np.clip((big - 128) * 4 + 128, 0, 255)[..., None] * (1.0, 0.9, 0.7)
    big = big.astype(np.uint8)
    starts = [(t * step[1], t * step[0]) for t in range(pictures)]
    return np.stack([big[y : y + height, x : x + width] for y, x in starts])


@pytest.fixture(scope="session")
def pictures():
    return moving_texture()


@pytest.fixture(scope="session")
def clean_stream(pictures):
    return encode_h264(pictures, gop=12)


@pytest.fixture(scope="session")
def damaged_stream(clean_stream):
    return damage(clean_stream, CutModel(slices_per_gop=1, gop=12, position=0.4, length=200, seed=3))[0]


@pytest.fixture(scope="session")
def mpeg4_stream():
    """Return a function: pictures -> MPEG-4 part 2 elementary stream (P pictures only); `broken`: coded pictures cut short."""

    def make(frames, gop=12, broken=()):
        buffer = io.BytesIO()
        with av.open(buffer, "w", format="m4v") as container:
            stream = container.add_stream("mpeg4", rate=25, options={"g": str(gop), "bf": "0", "threads": "1"})
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt, stream.bit_rate = "yuv420p", 2_000_000
            pictures = [av.VideoFrame.from_ndarray(frame, format="rgb24") for frame in frames]
            packets = [packet for picture in [*pictures, None] for packet in stream.encode(picture)]
            for number, packet in enumerate(packets):
                data = bytes(packet)
                if number in broken:  # bits in the middle are lost, the header and what follows is there
                    data = data[: len(data) // 3] + data[len(data) // 2 :]
                cut = av.Packet(data)
                cut.pts, cut.dts, cut.time_base, cut.stream = packet.pts, packet.dts, packet.time_base, stream
                container.mux(cut)
        return buffer.getvalue()

    return make


@pytest.fixture
def full_disk():
    """Return a context manager: in it, no file grows beyond a number of bytes, as on a disk that fills up."""

    @contextlib.contextmanager
    def limited(size):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


@pytest.fixture(scope="session")
def small_generator():
    """Arguments of a RecoveryGenerator with few channels and none of its optional parts."""
    return dict(
        encoder=dict(stem=(4, 4, 8, 8), tail=((8, 1), (8, 2))),
        parts=(),
        flow=dict(widths=(4,), levels=2),
        propagation=dict(groups=4, depth=1),
        transformer=dict(dim=8, depth=1, heads=2, window=(2, 3), expand=(1, 1), focal_window=(3, 3), ffn_channels=2),
        decoder=dict(width=4),
    )
