"""Which pictures a window of the generator restores, and which it looks at besides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

CHUNK = 30  # pictures; the release restores so many at a time and knows nothing of the others
STEP = 5  # pictures from window to window
REACH = 5  # local pictures on each side of the window's middle
REFERENCE_STEP = 10  # every tenth picture is a reference picture


@dataclass(frozen=True)
class Window:
    """Display indices of a window's pictures. No later window begins before it, or has a reference before all of its."""

    local: range  # consecutive; empty: nothing is to be restored up to here
    references: tuple[int, ...]


# Whether picture `index` of the clip exists; whether it is damaged.
Exists = Callable[[int], bool]
Damaged = Callable[[int], bool]


def published_windows(exists: Exists, _damaged: Damaged) -> Iterator[Window]:
    """Yield the windows of the release: every STEP pictures, REACH to each side, references from the same chunk.

    Windows of one chunk of CHUNK pictures have none of another chunk, and damage changes nothing.
    """
    start = 0
    while exists(start):
        end = _end(start, start + CHUNK, exists)
        for middle in range(start, end, STEP):
            local = range(max(start, middle - REACH), min(end, middle + REACH + 1))
            references = (i for i in range(start, end, REFERENCE_STEP) if i not in local)
            yield Window(local, tuple(references))
        start = end


@dataclass(frozen=True)
class DamageWindows:
    """Windows laid around the damaged pictures, wherever they are.

    A window begins `context` pictures before the first damaged picture that is not restored yet, and two windows that
    follow each other on damaged pictures have `overlap` pictures in common. references: every REFERENCE_STEP-th
    picture of the clip, up to `far` pictures from the window.
    """

    length: int = 2 * REACH + 1
    context: int = 1
    overlap: int = 3
    far: int = 20

    def __post_init__(self) -> None:
        if not 0 <= self.context + self.overlap < self.length:
            raise ValueError(
                f"a window of {self.length} pictures has no room for {self.context} before and {self.overlap} in common"
            )

    def __call__(self, exists: Exists, damaged: Damaged) -> Iterator[Window]:
        """Yield the windows of a clip."""
        position = 0
        while exists(position):
            start = max(position - self.context, 0)
            if not damaged(position):
                if position % REFERENCE_STEP == 0:  # tell how far it is, so that nothing piles up where all is well
                    yield Window(range(start, start), self._references(start, start, exists))
                position += 1
                continue
            end = _end(start, start + self.length, exists)
            yield Window(range(start, end), self._references(start, end, exists))
            position = end
            if exists(end) and damaged(end):  # goes on: the next window looks back and is blended in
                position = max(end - self.overlap + self.context, start + 1)

    def _references(self, start: int, end: int, exists: Exists) -> tuple[int, ...]:
        first = max(start - self.far, 0)
        candidates = range(first + -first % REFERENCE_STEP, end + self.far, REFERENCE_STEP)
        return tuple(i for i in candidates if not start <= i < end and exists(i))


def _end(start: int, limit: int, exists: Exists) -> int:
    """Return the index after the last picture in [start, limit) that exists."""
    while limit > start and not exists(limit - 1):
        limit -= 1
    return limit
