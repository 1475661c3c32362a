import numpy as np

from b2scvr.types import AccessUnitStatus
from b2scvr.write.inspection.maps import draw_concealment, draw_noticed, draw_qp, draw_trace, qp_range
from b2scvr.write.inspection.palette import CONCEALED, NOTICED


def test_qp_goes_along_its_scale(bare):
    bare.qp[:] = 20
    bare.qp[0, 0, 0], bare.qp[0, 3] = -1, 40
    drawing = draw_qp(bare, 0, 1.0)
    assert qp_range(bare) == (20, 40)
    fine, coarse, unknown = (drawing.image[y, x].astype(int) for y, x in ((24, 24), (60, 60), (4, 4)))
    assert fine[2] > fine[0] and coarse[0] > coarse[2]  # cividis: from blue to yellow
    assert len(set(unknown)) == 1  # grey: nothing is laid over it
    bar = drawing.entries[0]
    assert (bar.before, bar.label) == ("QP 20 and less", "40 and more") and bar.swatch[0, 0, 2] > bar.swatch[0, -1, 2]
    assert drawing.words.startswith("QP 20 to 40, median 20")


def test_wild_values_of_broken_pictures_do_not_stretch_the_scale(bare):
    bare.qp[:] = 28
    bare.qp[1], bare.status[1] = 51, AccessUnitStatus.BROKEN
    assert qp_range(bare) == (28, 28)


def test_without_qp(bare):
    drawing = draw_qp(bare, 0, 2.0)
    assert drawing.words == "no QP is known of this picture"
    assert (np.ptp(drawing.image, axis=2) == 0).all()


def test_concealed_macroblocks_are_tinted_and_no_others(bare):
    bare.concealed[1, 2:, 3:] = True
    drawing = draw_concealment(bare, 1, 2.0)
    changed = (drawing.image != 120).any(axis=2)
    assert changed[64:, 96:].all() and not changed[:64].any() and not changed[:, :96].any()
    assert drawing.words == "10 of 32 macroblocks (31 %) were invented by the decoder"
    assert "nothing" in draw_concealment(bare, 0, 1.0).words


def test_trace_is_the_stronger_the_more_comes_from_damage(bare):
    bare.damage_trace[1, 0] = np.arange(8) / 7
    image = draw_trace(bare, 1, 1.0).image[8, 8::16].astype(int)
    redness = image[:, 0] - image[:, 2]
    assert redness[0] == 0 and (np.diff(redness) > 0).all()
    assert "no damage" in draw_trace(bare, 0, 1.0).words


def test_where_the_decoder_noticed(bare):
    bare.concealed[1, 2:], bare.noticed[1, 3, 5] = True, True
    drawing = draw_noticed(bare, 1, 2.0)
    assert tuple(drawing.image[3 * 32 + 16, 5 * 32 + 16]) == NOTICED
    assert (drawing.image[60:70] == CONCEALED).all(axis=2).any()  # the upper edge of what was concealed
    assert "macroblock (5, 3)" in drawing.words
    assert "no error" in draw_noticed(bare, 0, 1.0).words
