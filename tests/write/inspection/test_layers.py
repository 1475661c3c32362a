import numpy as np
import pytest

from b2scvr.types import AccessUnitStatus, PictureType
from b2scvr.write.inspection import LAYERS, absent_layers, draw_layer, layers
from b2scvr.write.inspection.canvas import drawing_scale, enlarge, spread
from b2scvr.write.inspection.legend import LEAST_WIDTH, Entry, filled, with_legend
from b2scvr.write.inspection.lettering import text_width, wrap


@pytest.fixture
def full(bare):
    """The clip with evidence of each kind."""
    bare.sources = {"mode": "told"}
    bare.mv_past_valid[1], bare.mode[:], bare.qp[:] = True, 6, 28
    bare.slice_start[:, 0, 0] = True
    bare.concealed[1, 2:], bare.noticed[1, 2, 3], bare.damage_trace[1:, 2:] = True, True, 0.5
    bare.status[1:] = AccessUnitStatus.BROKEN, AccessUnitStatus.LOST
    bare.lost[2], bare.concealed[2], bare.qp[2], bare.mode[2] = True, True, -1, 0
    return bare


@pytest.mark.parametrize("layer", LAYERS)
def test_pictures_of_one_layer_have_one_size_whatever_became_of_them(full, layer, monkeypatch):
    said = []
    monkeypatch.setattr(layers, "with_legend", lambda *parts: said.append(parts[-1]) or with_legend(*parts))
    drawn = [draw_layer(full, index, layer) for index in range(3)]
    assert [words.startswith("lost") for words in said] == [False, False, True]
    assert ("outlined 50 %" in said[1]) == (layer in ("vectors", "modes", "qp"))
    assert len({image.shape for image in drawn}) == 1 and drawn[0].dtype == np.uint8
    assert drawn[0].shape[0] > 64 * 4 and drawn[0].shape[1] >= LEAST_WIDTH  # 128x64 four times as large, and a legend
    assert drawn[0].shape[0] % 2 == 0


@pytest.mark.parametrize("size", [(16, 16), (50, 70), (240, 426), (17, 961)])
def test_sizes_that_are_not_whole_macroblocks(full, size):
    height, width = size
    rows, columns = -(-height // 16), -(-width // 16)
    full.frames = np.zeros((3, height, width, 3), np.uint8)
    full.mv_past_valid = full.mv_future_valid = np.ones((3, -(-height // 8), -(-width // 8)), bool)
    full.mv_past = full.mv_future = np.full((3, -(-height // 8), -(-width // 8), 2), -5, np.float32)
    full.past_reference = full.future_reference = np.zeros((3, -(-height // 8), -(-width // 8)), np.int16)
    for name in ("mode", "partition", "qp", "concealed", "noticed", "slice_start", "damage_trace"):
        setattr(full, name, np.ones((3, rows, columns), getattr(full, name).dtype))
    scale = drawing_scale(height, width)
    for layer in LAYERS:
        assert draw_layer(full, 0, layer).shape[0] > height * scale


def test_evidence_that_a_codec_does_not_give_is_absent_with_a_reason(bare):
    bare.codec, bare.sources = "hevc", {"mode": "derived from the vectors"}
    bare.picture_type[:] = PictureType.I, PictureType.P, PictureType.P
    absent = absent_layers(bare)
    assert set(absent) == set(LAYERS) and all("hevc" in reason for reason in absent.values())
    with pytest.raises(ValueError, match=r"vectors: nothing to draw, the hevc decoder tells none"):
        draw_layer(bare, 0, "vectors")
    bare.concealed[1] = True  # a lost picture: that is known of any codec
    assert "concealment" not in absent_layers(bare)


def test_an_intra_stream_and_an_unknown_layer(full):
    full.mv_past_valid[:], full.picture_type[:] = False, PictureType.I
    assert absent_layers(full) == {"vectors": "every picture is intra"}
    with pytest.raises(ValueError, match=r"unknown layer 'mode'; known: vectors, modes"):
        draw_layer(full, 0, "mode")


def test_scales():
    found = [
        drawing_scale(*size) for size in ((144, 176), (240, 426), (480, 854), (1080, 1920), (2160, 3840), (9000, 9))
    ]
    assert found == [4, 2, 2, 1, 0.5, 0.25]
    assert enlarge(np.zeros((5, 7, 3), np.uint8), 0.5).shape == (3, 4, 3)
    macroblocks = np.array([[1, 2], [3, 4]])
    assert spread(macroblocks, 20, 30, 0.5)[[0, 9, 9], [8, 7, 14]].tolist() == [2, 3, 4]
    assert spread(macroblocks, 20, 30, 2.0).shape == (40, 60)


def test_a_legend_keeps_its_size_and_shows_its_swatches():
    image = np.zeros((50, 700, 3), np.uint8)
    entries = [Entry("one", filled((10, 200, 30)), room="one hundred"), Entry("two", filled((200, 10, 30)), before="0")]
    drawn = with_legend(image, "title", entries, "")
    assert np.array_equal(drawn[:50, :700], image)
    assert all((drawn[50:] == colour).all(axis=2).any() for colour in ((10, 200, 30), (200, 10, 30)))
    assert with_legend(image, "another title " * 40, entries, "many words " * 90).shape == drawn.shape


def test_lines_are_no_wider_than_they_may_be():
    lines = wrap("a few words and averyveryverylongonethatdoesnotfitintoanyline", 120)
    assert len(lines) > 1 and max(map(text_width, lines)) <= 120 and lines[-1].endswith("...")
