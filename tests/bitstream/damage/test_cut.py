"""The damage model: where cuts lie, that the draw is repeatable, and that nothing but slice data is touched."""

import numpy as np
import pytest

from b2scvr.bitstream.damage import BRANCHES, CutModel, branch, damage
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.nal import START_CODE, scan, unescape
from b2scvr.bitstream.slice_header import parse_slice_header
from b2scvr.bitstream.syntax import ParameterSets


def _made_up(bodies, key=()):
    """A stream of slices without parameter sets: 32 bytes are left alone at the start of each."""
    stream = b""
    for number, body in enumerate(bodies):
        stream += START_CODE + (b"\x65" if number in key else b"\x41") + b"\x88" + b"\x55" * 40 + body
    return stream


def _joined(stream, cuts):
    """The stream without the bytes of its cuts."""
    keep = np.ones(len(stream), bool)
    for cut in cuts:
        keep[cut.offset : cut.offset + cut.length] = False
    return bytes(np.frombuffer(stream, np.uint8)[keep])


def test_known_place():
    stream = _made_up([bytes(range(1, 256)) * 4])
    payload = len(stream) - 5
    damaged, (cut,) = damage(stream, CutModel(1, position=0.4, length=100))
    assert (cut.offset, cut.length) == (5 + int(0.4 * (payload - 100)), 100)
    assert damaged == stream[: cut.offset] + stream[cut.offset + 100 :]


@pytest.mark.parametrize("position", [0.0, 1.0])
def test_a_cut_stays_behind_the_header_and_inside_the_slice(position):
    stream = _made_up([bytes(range(1, 256)) * 4, b"\x77" * 90])
    _, cuts = damage(stream, CutModel(1, gop=1, position=position, length=100))
    assert cuts[0].offset == (4 + 32 if position == 0 else len(stream) - (4 + 42 + 90) - 100)
    assert cuts[0].offset + cuts[0].length <= len(stream) - (4 + 42 + 90)


def test_a_short_slice_loses_half_of_what_follows_its_header():
    stream = _made_up([b"\x77" * 70])
    _, (cut,) = damage(stream, CutModel(1, length=2048))
    room = len(stream) - 4 - 32
    assert cut.length == room // 2 and cut.offset >= 4 + 32


def test_branches():
    assert branch("184096", seed=7) == CutModel(1, 16, 0.8, 2048, 7)
    for name, model in BRANCHES.items():
        assert name == f"{model.slices_per_gop}{model.position * 10:.0f}{2 * model.length}"
    with pytest.raises(ValueError, match="144096"):
        branch("999")


def test_draws_per_gop():
    stream = _made_up([b"\x77" * 200] * 12, key=(0, 5))
    for seed in range(5):
        model = CutModel(2, gop=4, length=20, seed=seed)
        _, cuts = damage(stream, model)
        assert [sum(c.access_unit in gop for c in cuts) for gop in ({0, 1, 2, 3}, {4}, {5, 6, 7, 8}, {9, 10, 11})] == [
            2,
            1,
            2,
            2,
        ]
        assert len({c.slice for c in cuts}) == len(cuts)
        assert cuts == damage(stream, model)[1]
    assert len({tuple(damage(stream, CutModel(1, seed=seed))[1]) for seed in range(10)}) > 3


def test_no_new_start_code_or_prevention_byte():
    rng = np.random.default_rng(0)
    for seed in range(60):
        body = b"".join(bytes([int(x)]) for x in rng.choice([0, 1, 2, 3, 200], 300))
        for code in (b"\0\0\0", b"\0\0\1", b"\0\0\2"):
            while code in body:
                body = body.replace(code, b"\0\0\3\1")
        stream = _made_up([body + b"\x80", b"\x77" * 50 + b"\x80"])
        damaged, cuts = damage(stream, CutModel(1, gop=1, position=(seed % 10) / 10, length=1 + seed, seed=seed))
        assert damaged == _joined(stream, cuts)
        before, after = scan(stream), scan(damaged)
        assert len(after) == len(before) == len(cuts) == 2
        for old, new, cut in zip(before, after, cuts, strict=True):
            whole = stream[old.payload : cut.offset], stream[cut.offset + cut.length : old.end]
            assert damaged[new.payload : new.end] == b"".join(whole)
            assert unescape(damaged[new.payload : new.end]) == unescape(whole[0]) + unescape(whole[1])
            rbsp = unescape(stream[old.payload : old.end])
            assert rbsp.startswith(unescape(whole[0])) and rbsp.endswith(unescape(whole[1]))


def test_a_seam_at_the_header_moves_away_from_it():
    """Bytes 0..31 are left alone without parameter sets. Cuts of 10 bytes at 32, 33 and 34 clash, one at 31 would not."""
    nal = bytearray(b"\x77" * 120)
    nal[30:33] = b"\0\0\3"  # before a cut at 32: 00 00 next to 00
    nal[42:45] = b"\0\0\3"  # behind cuts at 33 and 34: an emulation prevention byte without its zeros
    stream = b"\0\0\0\1\x41\x9a" + bytes(nal[2:])
    _, (cut,) = damage(stream, CutModel(1, position=0, length=10))
    assert cut.offset - scan(stream)[0].payload == 35


def test_headers_of_a_real_stream_survive(moving):
    stream = encode_h264(moving(20, 96, 128, noise=6))
    for position in (0.0, 0.4, 1.0):
        damaged, cuts = damage(stream, CutModel(16, position=position, length=100))
        assert len(cuts) == 20
        sets = ParameterSets()
        sets.update(damaged)
        before, after = (
            [parse_slice_header(data[n.payload : n.end], sets) for n in scan(data) if n.is_slice]
            for data in (stream, damaged)
        )
        assert before == after
        lengths = [n.end - n.payload for n in scan(stream)], [n.end - n.payload for n in scan(damaged)]
        assert len(lengths[0]) == len(lengths[1]) and sum(lengths[0]) - sum(lengths[1]) == sum(c.length for c in cuts)


@pytest.mark.parametrize(
    "model",
    [
        CutModel(-1),
        CutModel(gop=0),
        CutModel(position=1.1),
        CutModel(length=0),
        CutModel(length=3, legacy_nibbles=True),
    ],
)
def test_parameters_that_make_no_sense(model):
    with pytest.raises(ValueError, match="must"):
        damage(_made_up([b"\x77" * 50]), model)


def test_no_stream_and_no_damage():
    with pytest.raises(ValueError, match=r"no H\.264 slice"):
        damage(b"not a stream", CutModel())
    stream = _made_up([b"\x77" * 50])
    assert damage(stream, CutModel(0)) == (stream, [])
