"""What a decode leaves behind in memory."""

from pathlib import Path

import pytest

from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.reader import decode

STATM = Path("/proc/self/statm")
PAGE = 4096


@pytest.mark.skipif(not STATM.is_file(), reason="tells memory by Linux's /proc")
def test_decoded_pictures_are_freed(moving):
    """Frames whose side data is read through `frame.side_data` stay in memory for ever."""
    stream = encode_h264(moving(16, 240, 320), gop=16)
    grown = []
    for _ in range(12):
        before = int(STATM.read_text().split()[1]) * PAGE
        decode(stream)
        grown.append(int(STATM.read_text().split()[1]) * PAGE - before)
    pictures = 16 * 240 * 320 * 3 // 2
    assert sum(grown[4:]) < pictures  # eight decodes; the first ones warm the allocator up
