"""Where long periods can be cut: known answers, and what is shown and referred to across a cut."""

from dataclasses import replace

import numpy as np
import pytest

from b2scvr.bitstream import cuts as module
from b2scvr.bitstream import reader
from b2scvr.bitstream.cuts import Cut, find_cuts
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.reference_lists import slice_references
from b2scvr.bitstream.specimens import moving_pictures

KINDS = {
    "p-pictures": {"bf": "0", "refs": "3", "sc_threshold": "0"},
    "b-pictures": {"x264-params": "scenecut=0:bframes=3:ref=4"},
    "pyramid": {"x264-params": "scenecut=0:bframes=3:b-pyramid=normal:ref=5:direct=temporal"},
    "intra-refresh": {"x264-params": "scenecut=0:intra-refresh=1:bframes=0"},
    "mbaff": {"x264-params": "scenecut=0:interlaced=1:bframes=2"},
}


def period(options, pictures=48):
    return reader.decode(encode_h264(moving_pictures(pictures, (48, 64)), gop=1000, options=options))


def test_behind_every_p_picture_that_refers_to_the_one_before():
    units = period({"bf": "0", "refs": "1"}, 6).access_units
    assert find_cuts(units) == [Cut(2, 1), Cut(3, 2), Cut(4, 3), Cut(5, 4)]  # before the second is the IDR picture


def test_b_pictures_are_not_parted_from_what_they_are_shown_before():
    coded = period({"x264-params": "scenecut=0:b-adapt=0:bframes=2:b-pyramid=none:ref=1"}, 13)
    assert coded.clip.decode_index.tolist() == [0, 2, 3, 1, 5, 6, 4, 8, 9, 7, 11, 12, 10]  # I P b b P b b ...
    assert find_cuts(coded.access_units) == [Cut(4, 1), Cut(7, 4), Cut(10, 7)]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_shown_or_referred_to_across_a_cut(kind):
    coded = period(KINDS[kind])
    references, order = slice_references(coded.access_units), coded.clip.decode_index
    found = find_cuts(coded.access_units)
    assert len(found) >= 3 and [cut.at for cut in found] == sorted({cut.at for cut in found})
    for cut in found:
        assert 0 < cut.start < cut.at
        for border in (cut.at, cut.start):
            assert sorted(order[:border]) == list(range(border))
        behind = (
            entry for slices in references[cut.at :] for one in slices for entries in one.lists for entry in entries
        )
        assert min(behind, default=cut.start) >= cut.start  # of interlaced pictures no lists are told


def test_there_is_none_next_to_a_header_that_cannot_be_read():
    units = period({"bf": "0", "refs": "1"}, 12).access_units
    units[6] = units[6][:5] + bytes(8)
    found = find_cuts(units)
    assert {cut.at for cut in found} & {5, 6, 7} == {5} and len(found) >= 6
    assert all(not cut.start <= 6 <= cut.at for cut in found)


@pytest.mark.parametrize("operation", [(2, 0), (3, 0, 0), (4, 1), (5,), (6, 0)])
def test_a_stream_that_keeps_pictures_for_long_is_not_cut(monkeypatch, operation):
    units, read = period({"bf": "0"}, 8).access_units, module.read_headers

    def with_operation(given):
        headers, following = read(given)
        [(header, nal)] = headers[5]
        headers[5] = [(replace(header, marking_operations=(operation,)), nal)]
        return headers, following

    assert find_cuts(units)
    monkeypatch.setattr(module, "read_headers", with_operation)
    assert not find_cuts(units)


def test_a_stream_that_cannot_be_spliced_is_not_cut(monkeypatch):
    units, check = period({"bf": "0"}, 8).access_units, module.check_spliceable
    monkeypatch.setattr(module, "check_spliceable", lambda sps, pps: check(sps, replace(pps, num_slice_groups=2)))
    assert not find_cuts(units)


def test_a_picture_that_is_kept_over_many_others_leaves_no_place(monkeypatch):
    units = period(KINDS["p-pictures"]).access_units
    assert max(cut.at - cut.start for cut in find_cuts(units)) == 3
    monkeypatch.setattr(module, "_MOST", 2)
    assert not any(cut.at - cut.start > 2 for cut in find_cuts(units))


def test_an_empty_period_has_none():
    assert find_cuts([]) == []
    assert np.array_equal(find_cuts(period({}, 1).access_units), [])
