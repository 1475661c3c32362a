"""Whether a decoder holds the reference pictures that the encoder meant, after some were lost or garbage headers believed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from b2scvr.bitstream.slice_header import SliceHeader

_LONG_TERM_OPERATIONS = (3, 4, 6)  # memory_management_control_operation, table 7-9: pictures may become long-term ones


@dataclass
class Doubts:
    """What is doubtful of the pictures that a decoder holds; all doubts end at an IDR picture.

    What is shown from a recovery point on (D.2.8) needs nothing that was before. But the pictures from before stand in the
    reference lists, too, until they have made room: a lost picture is known to stand behind those that came later, what
    garbage headers led to is not. Leading pictures, decoded behind a recovery point and shown before it, keep all doubts.
    """

    incomplete: bool = False  # a reference picture is missing, and with it what it said of the others (8.2.5.4)
    misled: bool = False  # a garbage header was believed: the decoder may hold any pictures now
    start: int | None = None  # decode index of the last recovery point behind the last IDR picture, ...
    start_order: int = 0  # ... its PicOrderCnt, ...
    is_first: bool = False  # ... and whether nothing was decoded before it
    was_incomplete: bool = False  # as above, before the recovery point
    was_misled: bool = False
    keeps_long_term: bool = False  # a garbage header may have made a picture stay for good
    orders: set[int] = field(default_factory=set)  # PicOrderCnt of the pictures since the last IDR picture

    def forget(self) -> None:
        """Nothing is held any more."""
        self.incomplete = self.misled = self.was_incomplete = self.was_misled = self.keeps_long_term = False
        self.start = None

    def begin_anew(self, picture: int, order: int, is_first: bool) -> None:
        """Take note of a recovery point: decode index, PicOrderCnt, whether nothing was decoded before it."""
        self.was_incomplete, self.was_misled = self.incomplete, self.was_misled or self.misled
        self.incomplete = self.misled = False
        self.start, self.start_order, self.is_first = picture, order, is_first

    def made_room(self) -> None:
        """Take note that all pictures from before the last recovery point must have made room by now."""
        self.was_misled = self.keeps_long_term

    def mislead(self, headers: Iterable[SliceHeader]) -> None:
        """Take note of garbage headers that a decoder believes."""
        self.misled = True
        operations = (operation for header in headers for operation in header.marking_operations)
        self.keeps_long_term |= any(operation[0] in _LONG_TERM_OPERATIONS for operation in operations)

    def note_order(self, header: SliceHeader, order: int) -> None:
        """No two pictures of a coded video sequence have the same place (8.2.1): one of them has a garbage header."""
        if header.is_idr or header.resets_references:
            self.orders = set()
        self.misled |= order in self.orders
        self.orders.add(order)

    def leads(self, order: int) -> bool:
        """Whether a picture of that PicOrderCnt is shown before the last recovery point."""
        return self.start is not None and order < self.start_order

    def is_rootless(self, order: int) -> bool:
        """Whether it predicts from what was before the stream began."""
        return self.is_first and self.leads(order)

    def lacks_pictures(self, order: int) -> bool:
        """Whether some of those that it may predict from never arrived."""
        return self.incomplete or (self.was_incomplete and self.leads(order))

    def holds_others(self, order: int) -> bool:
        """Whether any pictures may be in the places of those that it means."""
        return self.misled or self.was_misled or self.is_rootless(order)
