import ctypes
import platform

import numpy as np
import pytest

from b2scvr.bitstream.specimens import ALL, make, moving_pictures
from b2scvr.bitstream.zeroed_memory import zeroed_memory

BLOCK = 1 << 16


@pytest.fixture
def used_block():
    """Returns what is in a block of memory that was used before."""
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("only the GNU C library fills memory")
    library = ctypes.CDLL(None)
    library.malloc.restype, library.free.argtypes = ctypes.c_void_p, (ctypes.c_void_p,)

    def contents():
        dirty = library.malloc(BLOCK)
        ctypes.memset(dirty, 0xAA, BLOCK)
        library.free(dirty)
        block = library.malloc(BLOCK)
        found = ctypes.string_at(block, BLOCK)
        library.free(block)
        return found

    return contents


def test_memory_is_zeros_as_long_as_any_block_of_code_wants_it(used_block):
    assert any(used_block())
    with zeroed_memory():
        with zeroed_memory():
            assert not any(used_block())
        assert not any(used_block())
    assert any(used_block())


def test_streams_do_not_depend_on_what_memory_held_before():
    pictures, draw = moving_pictures(4, seed=3), np.random.default_rng(0)
    held, streams = [], set()
    for _ in range(16):
        streams.add(make(ALL["open-gop"], pictures))
        held.append(draw.bytes(int(draw.integers(1, 400_000))))
        if len(held) > 8:
            held.pop(int(draw.integers(8)))
    assert len(streams) == 1
