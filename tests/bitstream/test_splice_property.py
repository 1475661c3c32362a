"""With the true samples in its damaged pictures a stream decodes bit-exactly: for any settings of the encoder, any damage.

`pytest -m heavy tests/bitstream/test_splice_property.py` tries many more.
"""

from dataclasses import dataclass

import numpy as np
import pytest

from b2scvr.bitstream.access_units import split_access_units
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.nal import NalType, scan
from b2scvr.bitstream.reader import decode
from b2scvr.bitstream.rebuild import rebuild_lost
from b2scvr.bitstream.repair import splice_stream
from b2scvr.bitstream.slice_header import parse_slice_header
from b2scvr.bitstream.syntax import ParameterSets

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies
FEW = {"max_examples": 20, "deadline": None, "derandomize": True, "database": None}
MANY = {**FEW, "max_examples": 1000}
PICTURES, B_SLICE = 14, 1
FORMATS = ("yuv420p", "yuv420p", "yuv422p", "yuv444p", "gray", "yuv420p10le", "yuv422p10le")
SIZES = ((48, 64), (60, 74), (36, 90), (96, 32))  # heights that fields allow (multiples of 4)


@dataclass(frozen=True)
class Case:
    """One stream, and what happens to it."""

    coder: str
    parameters: str
    pix_fmt: str
    size: tuple[int, int]
    gop: int
    crf: int
    harms: tuple[tuple[int, str, int], ...]  # (access unit, what happens to it, seed)


@st.composite
def cases(draw, direct, bframes):
    slices = draw(st.integers(1, 3))
    interlaced = draw(st.sampled_from(["", "", "", "tff=1", "bff=1"]))
    parameters = {
        "b-adapt": draw(st.integers(0, 1)),
        "b-pyramid": draw(st.sampled_from(["none", "strict", "normal"])),
        "bframes": draw(bframes),
        "weightp": 0 if interlaced else draw(st.integers(0, 2)),
        "weightb": draw(st.integers(0, 1)),
        "ref": draw(st.integers(1, 4)),
        "8x8dct": draw(st.integers(0, 1)),
        "direct": draw(direct),
        "open-gop": draw(st.integers(0, 1)),
        "slices": slices,
        "no-deblock": 1 if slices > 1 else draw(st.integers(0, 1)),  # see splice.py: edges between slices
        "scenecut": draw(st.sampled_from([0, 40])),
    }
    words = [f"{name}={value}" for name, value in parameters.items()] + ([interlaced] if interlaced else [])
    harm = st.tuples(
        st.integers(0, PICTURES - 1), st.sampled_from(["cut", "overwrite", "lose", "drop a slice"]), st.integers(0, 99)
    )
    return Case(
        coder=draw(st.sampled_from(["cabac", "cavlc"])),
        parameters=":".join(words),
        pix_fmt=draw(st.sampled_from(FORMATS)),
        size=draw(st.sampled_from(SIZES)),
        gop=draw(st.integers(3, PICTURES)),
        crf=draw(st.sampled_from([12, 24, 36])),
        harms=tuple(draw(st.lists(harm, min_size=1, max_size=3, unique_by=lambda h: h[0]))),
    )


def _harmed(unit, how, seed, sets):
    """One access unit after damage: a slice cut, overwritten or dropped, or nothing left but one byte of its header."""
    draw = np.random.default_rng(seed)
    slices = [nal for nal in scan(unit) if nal.is_slice]
    if how == "lose" or (how == "drop a slice" and len(slices) == 1):
        return unit[: slices[0].payload + 2]
    nal = slices[draw.integers(len(slices))]
    if how == "drop a slice":
        return unit[: nal.start] + unit[nal.end :]
    body = nal.payload + 4 + parse_slice_header(unit[nal.payload : nal.end], sets).header_bits // 8
    if body >= nal.end - 1:
        return unit
    first, last = sorted(draw.integers(body, nal.end, 2))
    junk = bytes(draw.integers(1, 256, last - first).astype(np.uint8)) if how == "overwrite" else b""
    return unit[:first] + junk + unit[last:]


def _repaired(case, moving, play):
    """Return the clean access units, their true planes, those of the repaired stream, and the units that were replaced."""
    options = {"coder": case.coder, "x264-params": case.parameters}
    pictures = moving(PICTURES, *case.size, seed=case.gop, fade=0.01)
    clean, _ = split_access_units(
        encode_h264(pictures, crf=case.crf, gop=case.gop, options=options, pix_fmt=case.pix_fmt)
    )
    truth, messages = play(clean, cropped=False)
    assert not messages and len(truth) == PICTURES
    sets = ParameterSets()
    sets.update(clean[0])
    damaged = list(clean)
    for index, how, seed in case.harms:
        damaged[index] = _harmed(clean[index], how, seed, sets)
    coded = decode(b"".join(damaged))
    hypothesis.assume(len(coded.clip) == PICTURES)  # a dropped slice may hide a border between access units
    whole, rebuilt = rebuild_lost(coded, decode)
    hypothesis.assume(not whole.clip.lost[[slot for slot in range(PICTURES) if slot not in rebuilt.samples]].any())
    hurt = {index for index, _, _ in case.harms} | {int(whole.clip.decode_index[slot]) for slot in rebuilt.samples}
    slots = np.argsort(whole.clip.decode_index)
    units = splice_stream(whole, {int(slots[index]): truth[index] for index in hurt})
    shown, messages = play(units, cropped=False)
    hypothesis.assume(not any("mmco" in message for message in messages))  # marking of a lost picture, see numbering.py
    assert messages == [] and sorted(shown) == list(range(PICTURES))
    return clean, truth, shown, hurt


def _check_exact(case, moving, play, same_planes):
    _, truth, shown, _ = _repaired(case, moving, play)
    assert [i for i in truth if not same_planes(shown[i], truth[i])] == []
    assert list(shown) == list(truth)


def _check_direct(case, moving, play, same_planes):
    """With direct prediction a replaced picture takes its vectors from B pictures, but nothing else from anything."""
    clean, truth, shown, hurt = _repaired(case, moving, play)
    inexact = {i for i in truth if not same_planes(shown[i], truth[i])}
    assert not inexact & hurt
    idr = [i for i, unit in enumerate(clean) if any(nal.type == NalType.IDR for nal in scan(unit))]
    for index in inexact:
        start = max(i for i in idr if i <= index)
        assert any(start <= i < index for i in hurt)  # only behind a replaced picture of the same IDR period
    sets, kinds = ParameterSets(), []
    for unit in clean:
        sets.update(unit)
        nal = next(nal for nal in scan(unit) if nal.is_slice)
        kinds.append((parse_slice_header(unit[nal.payload : nal.end], sets).kind, nal.ref_idc))
    first = min(inexact, default=None)
    assert first is None or kinds[first][0] == B_SLICE  # it starts in a B picture
    if "b-pyramid=none" in case.parameters:  # B pictures that none predicts from: it stays there
        assert all(kinds[index] == (B_SLICE, 0) for index in inexact)


NO_DIRECT = {"direct": st.just("none"), "bframes": st.integers(0, 4)}
NO_B = {"direct": st.just("auto"), "bframes": st.just(0)}
DIRECT = {"direct": st.sampled_from(["spatial", "temporal", "auto"]), "bframes": st.integers(1, 4)}
fixtures = [hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.filter_too_much]


@hypothesis.settings(**FEW, suppress_health_check=fixtures)
@hypothesis.given(case=cases(**NO_DIRECT) | cases(**NO_B))
def test_without_direct_prediction_all_is_bit_exact(case, moving, play, same_planes):
    _check_exact(case, moving, play, same_planes)


@hypothesis.settings(**FEW, suppress_health_check=fixtures)
@hypothesis.given(case=cases(**DIRECT))
def test_direct_prediction_leaves_its_mark_in_b_pictures_only(case, moving, play, same_planes):
    _check_direct(case, moving, play, same_planes)


@pytest.mark.heavy
@hypothesis.settings(**MANY, suppress_health_check=[*fixtures, hypothesis.HealthCheck.too_slow])
@hypothesis.given(case=cases(**NO_DIRECT) | cases(**NO_B))
def test_many_without_direct_prediction(case, moving, play, same_planes):
    _check_exact(case, moving, play, same_planes)


@pytest.mark.heavy
@hypothesis.settings(**MANY, suppress_health_check=[*fixtures, hypothesis.HealthCheck.too_slow])
@hypothesis.given(case=cases(**DIRECT))
def test_many_with_direct_prediction(case, moving, play, same_planes):
    _check_direct(case, moving, play, same_planes)
