import pytest

from b2scvr.bitstream.nal import START_CODE


def _long_stream(slices=200, size=6000):
    """One IDR and many P slices without parameter sets, their payload free of emulated codes; about 1.2 MB."""
    body = bytes(range(1, 251)) * (size // 250)
    return b"".join(START_CODE + bytes([0x65 if n == 0 else 0x41, 0x9A]) + body for n in range(slices))


@pytest.fixture(scope="session")
def long_stream():
    return _long_stream()
