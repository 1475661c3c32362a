"""What the stream says, and leaves open, about which pictures each block of a picture was predicted from."""

from __future__ import annotations

from itertools import zip_longest

import numpy as np

from b2scvr.ops.drift import LISTS, NO_CANDIDATE, UNUSED
from b2scvr.types import MB_SIZE, MV_BLOCK, AccessUnitStatus, ParsedClip, Partition, PictureType, PredictionMode

HELD = 4  # pictures of one direction that a vector of unknown reference may mean in H.264; x264's default is 3
_LONGEST = 128  # display distances are clipped so (8.4.1.2.3)


def reference_candidates(clip: ParsedClip, slot: int) -> np.ndarray:
    """Return the display indices of the pictures that each cell of picture `slot` may be predicted from, int64 [2, K, h, w].

    Lists: past, future; likelier candidates first. UNUSED: the list is not used; NO_CANDIDATE fills up. Where the reference
    is known, it is the only candidate. Else the nearest pictures held in the vector's direction are. FFmpeg exports a zero
    vector for a list that a partition does not use when another partition of its macroblock does: such a list may be
    unused, and then the other list may mean another picture than was read out of the two together.
    """
    vectors = np.stack([clip.mv_past[slot], clip.mv_future[slot]])
    valid = np.stack([clip.mv_past_valid[slot], clip.mv_future_valid[slot]])
    known = np.stack([clip.past_reference[slot], clip.future_reference[slot]]).astype(np.int64)
    if clip.status[slot] == AccessUnitStatus.BROKEN:
        valid &= ~_at_cells(clip.concealed[slot], valid.shape[1:])
    out = [np.where(valid, np.where(known >= 0, known, NO_CANDIDATE), UNUSED)]
    unknown = valid & (known < 0)
    if unknown.any():
        held = [_held(clip, slot, direction) for direction in (-1, 1)]
        out += _offered([own or other for own, other in zip(held, held[::-1], strict=True)], unknown)
    idle = _split(clip, slot) & valid.all(axis=0) & (vectors == 0).all(axis=-1)
    if idle.any():
        out.append(np.where(idle, UNUSED, NO_CANDIDATE))
        named = [np.unique(known[side][valid[side] & (known[side] >= 0)]).tolist() for side in range(LISTS)]
        out += _offered([sorted(own, key=lambda other: abs(other - slot)) for own in named], idle[::-1])
    return np.stack(out, axis=1)


def _offered(pictures: list[list[int]], where: np.ndarray) -> list[np.ndarray]:
    """The pictures of each list, the first ones first, as candidates of the cells `where` [2, h, w]."""
    rows = np.array(list(zip_longest(*pictures, fillvalue=NO_CANDIDATE)), np.int64).reshape(-1, LISTS)
    return [np.where(where, row[:, None, None], NO_CANDIDATE) for row in rows]


def implicit_weights(slot: int, reference: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return `weight` with bi-predicted cells weighed by distance (8.4.2.3.1, implicit mode), float32 [2, h, w].

    reference: display indices int64 [2, h, w], which stand for picture order counts. weight: default ones [2, h, w].
    """
    both = (weight > 0).all(axis=0)
    current = np.clip(slot - reference[0], -_LONGEST, _LONGEST - 1)
    whole = np.clip(reference[1] - reference[0], -_LONGEST, _LONGEST - 1)
    safe = np.where(whole == 0, 1, whole)
    factor = np.trunc((16384 + np.abs(np.trunc(safe / 2))) / safe)  # tx, DistScaleFactor: 8.4.1.2.3
    scale = np.clip(np.floor((current * factor + 32) / 64), -1024, 1023)
    future = np.floor(scale / 4)
    future = np.where((whole == 0) | (future < -64) | (future > 128), 32, future) / 64
    return np.where(both, np.stack([1 - future, future]), weight).astype(np.float32)


def reference_pictures(clip: ParsedClip) -> np.ndarray:
    """Return which pictures others may be predicted from, bool [T]; MPEG's B pictures never are."""
    return clip.is_reference if clip.codec == "h264" else clip.picture_type != PictureType.B


def _held(clip: ParsedClip, slot: int, direction: int) -> list[int]:
    """Display indices of the pictures before (-1) or after (+1) `slot` that it may be predicted from, nearest first.

    MPEG codecs hold one on each side; where that one was lost, the one behind it stood in.
    """
    h264 = clip.codec == "h264"
    earlier = reference_pictures(clip) & (clip.decode_index < clip.decode_index[slot])
    if h264:  # nothing that is shown after a key picture reaches back beyond it
        shown_before = np.arange(len(clip)) <= slot
        keys = clip.decode_index[clip.is_key & shown_before & (clip.decode_index <= clip.decode_index[slot])]
        earlier &= clip.decode_index >= max(keys, default=0)
    side = np.flatnonzero(earlier & ((np.arange(len(clip)) - slot) * direction > 0)).tolist()
    side.sort(key=lambda other: abs(other - slot))
    if h264:
        return side[:HELD]
    arrived = next((place for place, other in enumerate(side) if not clip.lost[other]), len(side))
    return side[: arrived + 1]


def _split(clip: ParsedClip, slot: int) -> np.ndarray:
    """Cells of H.264 macroblocks that are split and use both lists, but not in each partition perhaps; bool [h, w]."""
    split = (clip.mode[slot] == PredictionMode.BOTH) & (clip.partition[slot] != Partition.WHOLE)
    return _at_cells(split & (clip.codec == "h264"), clip.mv_past_valid.shape[1:])


def _at_cells(macroblocks: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Values of macroblocks [h, w] at their 8x8 cells, cut to `shape`."""
    side = MB_SIZE // MV_BLOCK
    return macroblocks.repeat(side, 0).repeat(side, 1)[: shape[0], : shape[1]]
