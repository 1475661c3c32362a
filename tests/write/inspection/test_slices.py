import numpy as np

from b2scvr.types import NAL_UNIT
from b2scvr.write.inspection.slices import EDGE, draw_slices, slice_numbers


def test_slices_are_counted_in_raster_order():
    starts = np.zeros((3, 4), bool)
    starts[0, 0] = starts[1, 2] = True
    assert slice_numbers(starts).tolist() == [[0, 0, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1]]
    assert slice_numbers(np.zeros((2, 2), bool)).tolist() == [[0, 0], [0, 0]]


def test_the_edge_runs_between_two_slices(bare):
    bare.slice_start[1, 0, 0] = bare.slice_start[1, 2, 4] = True
    bare.nal_units = np.array([(1, 1, 2, 0, 300, 0, 5), (1, 1, 2, 300, 200, 20, 5), (0, 7, 3, 9, 9, -1, -1)], NAL_UNIT)
    drawing = draw_slices(bare, 1, 2.0)
    edge = (drawing.image == EDGE).all(axis=2)
    assert edge[63, 128:].all() and edge[64, 128:].all() and edge[95, :128].all() and edge[64:96, 127].all()
    assert not edge[20:60].any() and not edge[100:].any()
    assert drawing.words.startswith("2 slices of 200 to 300 bytes")


def test_a_slice_whose_header_is_gone_is_named(bare):
    bare.nal_units = np.array([(1, 1, 2, 0, 300, 0, 5), (1, 1, 2, 300, 200, -1, -1)], NAL_UNIT)
    assert "1 with a header that cannot be read" in draw_slices(bare, 1, 1.0).words
    assert "no slice" in draw_slices(bare, 0, 1.0).words
