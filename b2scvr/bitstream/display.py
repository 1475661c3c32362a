"""Where access units that gave no picture belong in display order."""

from __future__ import annotations

from collections.abc import Sequence


def display_order(received: Sequence[int], count: int) -> list[int]:
    """Return the decode indices of all `count` access units in display order.

    received: decode indices in the order in which the decoder put pictures out. An access unit that gave none is placed
    after the pictures decoded before it and before the first one decoded after it: exact without B pictures, and within
    the reordering depth otherwise.
    """
    order = list(received)
    for missing in sorted(set(range(count)) - set(received)):
        later = next((i for i, index in enumerate(order) if index > missing), len(order))
        order.insert(later, missing)
    return order
