"""The maps that turn the decoder's records and messages into evidence: known answers."""

import numpy as np
import pytest

from b2scvr.bitstream.concealment import concealment_from_log
from b2scvr.bitstream.display import display_order
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.motion_vectors import dense_vectors
from b2scvr.bitstream.prediction_modes import modes_from_log, modes_from_vectors
from b2scvr.bitstream.reader import decode
from b2scvr.types import Partition, PredictionMode

RECORD = np.dtype(
    [("source", "i4"), ("w", "u1"), ("h", "u1"), ("dst_x", "i2"), ("dst_y", "i2")]
    + [("motion_x", "i4"), ("motion_y", "i4"), ("motion_scale", "u2")]
)


def records(*rows):
    return np.array(list(rows), RECORD)


def test_a_block_fills_the_cells_it_covers():
    past, past_valid, _, future_valid = dense_vectors(records((-1, 16, 16, 8, 8, 6, -4, 4)), 32, 32)
    assert past_valid[:2, :2].all() and past_valid.sum() == 4
    assert np.array_equal(past[0, 0], [1.5, -1.0])
    assert not future_valid.any()


def test_partition_centre_is_not_its_corner():
    _, _, future, future_valid = dense_vectors(records((1, 8, 16, 12, 8, 4, 0, 4)), 16, 16)
    assert np.array_equal(future_valid, [[False, True], [False, True]])
    assert future[0, 1, 0] == 1.0


def test_small_blocks_are_averaged_over_their_cell():
    quarters = [(-1, 4, 4, x, y, motion, 0, 4) for x, y, motion in [(2, 2, 0), (6, 2, 4), (2, 6, 8), (6, 6, 12)]]
    past, valid, _, _ = dense_vectors(records(*quarters), 8, 8)
    assert valid[0, 0] and past[0, 0, 0] == 1.5


def test_no_records_give_no_vectors_and_blocks_outside_are_dropped():
    assert not dense_vectors(records(), 17, 33)[1].any()
    assert dense_vectors(records(), 17, 33)[1].shape == (3, 5)
    assert not dense_vectors(records((-1, 16, 16, 200, 8, 0, 0, 4)), 16, 16)[1].any()


ROWS = ["New frame, type: P\n", "    0           64  \n", "  0 >  S  I  >| \n", " 16 X- d  i  >+ \n"]


def test_modes_and_partitions_of_a_printed_picture():
    mode, partition = modes_from_log(ROWS, 2, 4)
    m = PredictionMode
    assert mode.tolist() == [[m.PAST, m.SKIP, m.INTRA_16X16, m.PAST], [m.BOTH, m.DIRECT, m.INTRA_NXN, m.PAST]]
    assert partition[0, 3] == Partition.COLUMNS
    assert partition[1].tolist() == [Partition.ROWS, 0, 0, Partition.QUARTERS]


@pytest.mark.parametrize("rows", [ROWS[:3], ["garbage", *ROWS[:2], "  0 > \n", ROWS[3]], []])
def test_an_incomplete_print_is_refused(rows):
    assert modes_from_log(rows, 2, 4) is None


def test_modes_from_vectors_tell_covered_from_not_covered():
    past = np.array([[True, False, False], [False, False, False]])
    future = np.array([[False, True, False], [False, False, False]])
    assert modes_from_vectors(past, future, 1, 2).tolist() == [[PredictionMode.BOTH, PredictionMode.INTRA_16X16]]


def status_messages(codes):
    return [f"{code:2X} " for code in codes]


# What libavcodec prints of a macroblock: 1 a slice starts here, 0x70 it ends, 0xE an error, 0x7F never decoded.
def test_concealment_reaches_back_as_far_as_the_decoder_says():
    codes = [1] + [0] * 5 + [0xE] + [0x7F] * 3
    found = concealment_from_log([*status_messages(codes), "concealing 7 DC, 7 AC, 7 MV errors in P frame\n"], 2, 5)
    assert found.concealed.reshape(-1).tolist() == [False] * 3 + [True] * 7
    assert found.distrusted.reshape(-1).tolist() == [False] * 3 + [True] * 3 + [False] * 4


def test_concealment_stops_at_the_slice_start():
    codes = [1, 0, 0, 0, 0x70, 1, 0, 0xE, 0x7F, 0x7F]
    found = concealment_from_log([*status_messages(codes), "concealing 9 DC, 9 AC, 9 MV errors in P frame\n"], 2, 5)
    assert found.concealed.reshape(-1).tolist() == [False] * 5 + [True] * 5
    assert np.flatnonzero(found.distrusted).tolist() == [5, 6]


def test_before_a_slice_that_is_not_there_nothing_is_distrusted():
    codes = [1, 0, 0x70, 0x7F, 0x7F, 1, 0, 0xE, 0x7F, 0x7F]
    found = concealment_from_log([*status_messages(codes), "concealing 7 DC, 7 AC, 7 MV errors in P frame\n"], 2, 5)
    assert np.flatnonzero(found.concealed).tolist() == [3, 4, 5, 6, 7, 8, 9]
    assert np.flatnonzero(found.distrusted).tolist() == [5, 6]


@pytest.mark.parametrize("others", [[0] * 4 + [0x70], [0, 0xE, 0x7F, 0x7F, 0x7F]])
def test_a_slice_whose_end_another_one_took_is_concealed_whole(others):
    """It was read on into the next slice, which then came in its place: nothing is printed of that but the missing end."""
    codes = [1, 0, 0, 0, 0, 1, *others[1:]]
    count = 5 if others[-1] == 0x70 else 10
    report = f"concealing {count} DC, {count} AC, {count} MV errors in P frame\n"
    found = concealment_from_log([*status_messages(codes), report], 2, 5)
    assert np.flatnonzero(found.concealed).tolist() == list(range(count))
    assert found.distrusted[0].tolist() == [True] * 4 + [False], "wrong at its last macroblock at the latest"


def test_other_messages_between_the_codes_do_no_harm():
    messages = [*status_messages([1, 0x70]), "nal_unit_type: 1\n", *status_messages([0x7F, 0x7F])]
    found = concealment_from_log([*messages, "concealing 2 DC, 2 AC, 2 MV errors in P frame\n"], 2, 2)
    assert found.concealed.tolist() == [[False, False], [True, True]] and not found.distrusted.any()


def test_no_report_is_no_concealment_and_half_a_report_is_all():
    assert concealment_from_log(["nal_unit_type: 1\n"], 2, 2) is None
    found = concealment_from_log(["concealing 1 DC, 1 AC, 1 MV errors in P frame\n"], 2, 2)
    assert found.concealed.all() and not found.distrusted.any()


def test_lost_units_take_their_place_in_display_order():
    assert display_order([0, 1, 3], 4) == [0, 1, 2, 3]
    assert display_order([0, 3, 2, 1], 4) == [0, 3, 2, 1]
    assert display_order([0, 1], 3) == [0, 1, 2]
    assert display_order([], 2) == [0, 1]


@pytest.mark.parametrize("options, pictures_rows", [({"slices": "2"}, 6), ({"slices": "2", "x264-params": "tff=1"}, 8)])
def test_slices_start_where_their_macroblocks_are(options, pictures_rows, moving):
    """In MBAFF first_mb_in_slice counts pairs of macroblocks, one above the other (7.4.3)."""
    clip = decode(encode_h264(moving(4, height=16 * pictures_rows), options=options)).clip
    for slot in range(len(clip)):
        (first, second) = np.argwhere(clip.slice_start[slot]).tolist()
        assert first == [0, 0] and second == [pictures_rows // 2, 0]
