"""libavcodec's log as a source of evidence: its level is raised while a stream is read, and only then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

import av.logging

_READING = RLock()  # there is one log for the whole process


@contextmanager
def printing_at(level: int) -> Iterator[None]:
    """Have libavcodec print all messages down to `level`, repeated ones too; as it was before, afterwards.

    Threads wait for one another: each would read the other's messages.
    """
    with _READING:
        before, skipping = av.logging.get_level(), av.logging.get_skip_repeated()
        av.logging.set_level(level)
        av.logging.set_skip_repeated(False)
        try:
            yield
        finally:
            av.logging.set_level(before)
            av.logging.set_skip_repeated(skipping)
