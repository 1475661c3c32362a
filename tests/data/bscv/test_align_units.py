"""Access units of a damaged stream and those of its clean one."""

import numpy as np

from b2scvr.bitstream.damage import CutModel, damage
from b2scvr.bitstream.reader import decode
from b2scvr.data.bscv.align_units import align_clips, align_units, slots_by_index

CLEAN = [b"header-one-aaaa", b"header-two-bbbb", b"header-three-cc", b"header-four-ddd", b"header-five-eee"]


def test_equal_units_belong_together_and_cut_ones_keep_their_order():
    assert align_units(CLEAN, CLEAN).tolist() == [0, 1, 2, 3, 4]
    assert align_units([CLEAN[0], *CLEAN[2:]], CLEAN).tolist() == [0, 2, 3, 4]
    assert align_units([CLEAN[0], b"header-thrcc", *CLEAN[3:]], CLEAN).tolist() == [0, 2, 3, 4]
    assert align_units([b"header-twobb", b"header-fod", CLEAN[4]], CLEAN).tolist() == [1, 3, 4]
    fused = b"header-two-" + CLEAN[2]
    assert align_units([CLEAN[0], fused, *CLEAN[3:]], CLEAN).tolist()[2:] == [3, 4]
    assert align_units([], CLEAN).tolist() == []


def test_more_units_than_the_clean_stream_has_are_not_its_own():
    assert align_units([CLEAN[0], b"x", b"y", *CLEAN[2:]], CLEAN) is None


def test_pictures_are_told_in_display_order(clean_stream):
    clean = decode(clean_stream)
    assert (clean.clip.decode_index != np.arange(len(clean.clip))).any()  # B pictures
    damaged = decode(damage(clean_stream, CutModel(gop=12, length=60, seed=1))[0])
    assert align_clips(damaged, clean).tolist() == list(range(len(clean.clip)))
    leaf = int(np.flatnonzero(~clean.clip.is_reference)[0])  # nothing depends on it
    kept = [unit for index, unit in enumerate(clean.access_units) if index != clean.clip.decode_index[leaf]]
    shortened = decode(b"".join(kept))
    assert align_clips(shortened, clean).tolist() == np.delete(np.arange(len(clean.clip)), leaf).tolist()


def test_places_without_a_picture_show_the_one_before():
    chosen, missing = slots_by_index(np.array([2, 3, 5]), 7)
    assert chosen.tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert missing.tolist() == [True, True, False, False, True, False, True]
    swapped, _ = slots_by_index(np.array([1, 0]), 3)
    assert swapped.tolist() == [1, 0, 0]
