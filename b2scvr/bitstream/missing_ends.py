"""Slices of CAVLC streams that lost their ends: the decoder does not say that it ran out of bits (CABAC: concealment.py).

An error that comes from garbage stays where it is, whatever stands behind the slice. One that comes from bits running out
moves, or goes away, when others are put there.
"""

from __future__ import annotations

import numpy as np

from b2scvr.bitstream.concealment import noticed_in_log
from b2scvr.bitstream.endings import ENDINGS, last_undeblocked, up_to, with_ending
from b2scvr.bitstream.syntax import ParameterSets
from b2scvr.types import ParsedClip


def find_missing_ends(clip: ParsedClip, units: list[bytes]) -> list[int]:
    """Mark in `clip.exhausted` the pictures of CAVLC slices in which only the end of the bits was noticed; return which.

    units: the access units in decoding order, H.264.
    """
    sets, found = ParameterSets(), list[int]()
    if not clip.noticed.any():
        return found
    slots = clip.decode_index.argsort(kind="stable").tolist()
    for slot, unit in zip(slots, units, strict=True):
        sets.update(unit)
        is_cavlc = any(not pps.cabac for pps in sets.pps.values())
        if is_cavlc and clip.noticed[slot].any() and not clip.exhausted[slot] and _ran_out(clip, slot, units):
            clip.exhausted[slot] = True
            found.append(slot)
    if found and clip.is_cut_off:  # then the others that lack macroblocks ended between two of them, without any error
        clip.exhausted |= clip.concealed.any(axis=(1, 2)) & ~clip.noticed.any(axis=(1, 2)) & ~clip.lost
    return found


def _ran_out(clip: ParsedClip, slot: int, units: list[bytes]) -> bool:
    """Whether each error of a picture is gone from its place with some other ending."""
    *before, last = up_to(clip, slot, units)
    left = set(noticed_in_log(last_undeblocked([*before, last])[1]))
    if not left.issuperset(map(tuple, np.argwhere(clip.noticed[slot]).tolist())):
        return False  # it does not decode as it did: nothing can be told
    for ending in ENDINGS:
        left &= set(noticed_in_log(last_undeblocked([*before, with_ending(last, ending)])[1]))
        if not left:
            return True
    return False
