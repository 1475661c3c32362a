"""The parameter sets that a decoder needs which begins in the midst of a stream."""

from b2scvr.bitstream.nal import START_CODE
from b2scvr.bitstream.sent_sets import SentSets

SPS, OTHER_SPS, PPS, SLICE = (START_CODE + bytes([kind, value]) for kind, value in ((7, 1), (7, 2), (8, 3), (1, 4)))


def test_each_is_kept_once_and_the_latest_stands_last():
    sent = SentSets()
    for unit in (SPS + PPS + SLICE, OTHER_SPS + SLICE, SPS + SLICE, SLICE):
        sent.update(unit)
    assert bytes(sent) == PPS + OTHER_SPS + SPS


def test_those_that_come_again_are_left_out():
    sent = SentSets()
    assert bytes(sent) == sent.without(SPS) == b""
    sent.update(SPS + PPS + SLICE)
    assert sent.without(SPS + SLICE) == PPS and sent.without(SLICE) == bytes(sent) == SPS + PPS
