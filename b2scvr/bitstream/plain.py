"""Decoding as any player does it, without evidence: for comparison."""

from __future__ import annotations

from pathlib import Path

import av


def decode_plain(path: Path, convert: bool) -> int:
    """Decode all pictures of the first video stream on one thread, with `convert` to RGB too; return how many there are."""
    count = 0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "SLICE"
        stream.codec_context.thread_count = 1
        for frame in container.decode(stream):
            if convert:
                frame.to_ndarray(format="rgb24")
            count += 1
    return count
