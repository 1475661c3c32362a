"""Some pictures of a file, read together with those around them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from b2scvr.bitstream.access_units import split_access_units
from b2scvr.bitstream.assembly import CodedClip
from b2scvr.types import AccessUnitStatus, Progress, RecoveredClip


@dataclass
class Part:
    """Some pictures of a file, read together with those around them."""

    coded: CodedClip
    own: slice  # of display indices in `coded.clip`: the pictures that the part is about
    start: int  # display index in the file, and number in decoding order, of the first picture of `coded`
    given_sets: bytes = b""  # parameter sets that were put before the first access unit
    # `coded` as it is decoded behind repaired pictures; None: those before the own ones were right, or are read too.
    repaired_before: CodedClip | None = None
    # uint8 [own.start, H, W, 3], what the pictures before the own ones were restored to where the stream was not repaired.
    restored_before: np.ndarray | None = None
    begins_inside: bool = False  # a period: its first border is a cut
    ends_inside: bool = False
    recovered: RecoveredClip | None = None  # what became of all that it was read with: the next part may begin with it

    def __len__(self) -> int:
        return self.own.stop - self.own.start

    @property
    def first(self) -> int:
        """Display index in the file of the first own picture."""
        return self.start + self.own.start

    def take(self, values: np.ndarray) -> np.ndarray:
        """Return those of the own pictures, as a view, from an array that has one for each picture of `coded`."""
        return values[self.own]

    @property
    def is_damaged(self) -> bool:
        """Whether any of the own pictures is damaged."""
        return bool((self.take(self.coded.clip.status) != AccessUnitStatus.INTACT).any())

    @property
    def numbers(self) -> np.ndarray:
        """Display indices in the file of the own pictures, int [N]."""
        return self.first + np.arange(len(self))

    @property
    def units(self) -> np.ndarray:
        """Numbers in the file, in decoding order, of the own pictures' access units, int [N] in display order."""
        return self.start + self.take(self.coded.clip.decode_index)

    def own_stream(self, stream: bytes | None = None, added: Collection[int] = ()) -> bytes:
        """Return what belongs to the own pictures of a stream that `coded` was repaired to; None stands for `coded` itself.

        added: display indices in `stream` of pictures that `coded` does not hold. The last part of a file has what stands
        behind its last picture, too.
        """
        units, suffix = self.coded.access_units, self.coded.suffix
        if stream is not None:
            units, suffix = split_access_units(stream)
        first = behind_added(self.own.start, added, self.begins_inside)
        end = behind_added(self.own.stop, added, self.ends_inside)
        own = b"".join(units[first:end]) + (suffix if end == len(units) else b"")
        return own if first else own.removeprefix(self.given_sets)


Telling = Callable[[Part], Progress]  # what the progress of a part is told to
# uint8 [T, H, W] of all pictures that a part was read with, 1 = corrupted; None: nothing is given for this part.
PartMasks = Callable[[Part], np.ndarray | None]


def behind_added(border: int, added: Collection[int], is_inside: bool) -> int:
    """Return where in a stream with `added` pictures a border is that has `border` pictures before it which are not added.

    A picture that was added right at a border belongs before it where a key picture, which is there, comes behind; where a
    period is cut (is_inside) it belongs behind: the next part lacks it, too.
    """
    if border:
        for place in sorted(added):
            border += place < border if is_inside else place <= border
    return border
