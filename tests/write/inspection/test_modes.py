import pytest

from b2scvr.types import Partition, PredictionMode
from b2scvr.write.inspection.modes import LINE_COLOUR, draw_modes
from b2scvr.write.inspection.palette import MODES


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0, 3.0])
def test_the_middle_of_a_macroblock_has_the_colour_of_its_mode(bare, scale):
    bare.mode[1].reshape(-1)[: len(PredictionMode)] = list(PredictionMode)
    bare.partition[1] = Partition.QUARTERS
    drawing = draw_modes(bare, 1, scale)
    side = int(16 * scale)
    swatches = {e.label.rsplit(" ", 2)[0]: e.swatch for e in drawing.entries}
    for number, mode in enumerate(PredictionMode):
        name, colour = MODES[mode]
        assert tuple(swatches[name][8, 8]) == colour  # the legend's
        row, column = divmod(number, 8)
        middle = drawing.image[row * side + side // 2, column * side + side // 2]
        assert (tuple(middle) == colour) == (mode != PredictionMode.UNKNOWN)


def test_partition_lines(bare):
    bare.mode[0] = PredictionMode.PAST
    bare.partition[0, 0, :4] = list(Partition)
    image = draw_modes(bare, 0, 2.0).image
    lines = (image == LINE_COLOUR).all(axis=2)
    blocks = [lines[:32, 32 * i : 32 * (i + 1)] for i in range(4)]
    assert [(b[16, 3:9].all(), b[3:9, 16].all()) for b in blocks] == [
        (False, False), (True, False), (False, True), (True, True)
    ]  # fmt: skip


def test_shares_and_unknown_modes(bare):
    bare.mode[0, :2] = PredictionMode.SKIP
    labels = [entry.label for entry in draw_modes(bare, 0, 1.0).entries]
    assert "skip 50 %" in labels and "unknown 50 %" in labels
    assert draw_modes(bare, 2, 1.0).words == "no modes are known of this picture"
