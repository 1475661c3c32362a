"""What the decoder conceals, against what it says of it: for a broken picture the same number of macroblocks.

Before an error it distrusts 49 macroblocks, not counting skipped ones. Which are skipped is not known here: with several
errors in a picture it may be more.
"""

import numpy as np
import pytest

from b2scvr.bitstream import decoding
from b2scvr.bitstream.concealment import concealed_count, concealment_from_log
from b2scvr.bitstream.damage import damage_all, parse_models
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.reader import decode


@pytest.fixture
def told(monkeypatch):
    """What the decode loop read of each broken picture, with the number that the decoder gave."""
    found = []

    def note(messages, rows, columns):
        read = concealment_from_log(messages, rows, columns)
        if read is not None:
            found.append((read, concealed_count(messages)))
        return read

    monkeypatch.setattr(decoding, "concealment_from_log", note)
    return found


def several_errors(read):
    errors = (read.concealed & ~read.distrusted).ravel()
    return np.flatnonzero(errors[1:] & ~errors[:-1]).size > 1


@pytest.mark.parametrize("model", ["244096", "rtp:rate=0.15,mtu=400", "bits:rate=3e-4"])
@pytest.mark.parametrize("coder", ["cabac", "cavlc"])
@pytest.mark.parametrize("options", [{}, {"slices": "4"}, {"slices": "3", "x264-params": "tff=1"}], ids=str)
def test_as_many_macroblocks_are_concealed_as_the_decoder_says(moving, told, model, coder, options):
    stream = encode_h264(moving(24, 192, 256, noise=6), gop=8, crf=20, options={"coder": coder} | options)
    for seed in range(3):
        decode(damage_all(stream, parse_models([model], seed, {"gop": 8}))[0])
    assert len(told) > 5 and np.mean([read.concealed.sum() == count for read, count in told]) > 0.8
    for read, count in told:
        found = int(read.concealed.sum())
        assert found == count or (found < count and several_errors(read))
        assert not (read.distrusted & ~read.concealed).any()
        assert all(read.concealed[place] and not read.distrusted[place] for place in read.overrun)


def test_slices_are_read_on_among_these(moving, told):
    stream = encode_h264(moving(24, 192, 256, noise=6), gop=8, crf=20, options={"slices": "4"})
    for seed in range(6):
        decode(damage_all(stream, parse_models(["bits:rate=3e-4"], seed, {"gop": 8}))[0])
    ends = [place for read, _ in told for place in read.overrun]
    assert ends and {row for row, _ in ends} <= {2, 5, 8} and {column for _, column in ends} == {15}
    assert np.all([read.concealed.any() for read, _ in told])
