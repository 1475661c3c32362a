"""Mutations: the same seed gives the same mutant, each step does what it says, and header fields change alone."""

import random
from dataclasses import replace

import numpy as np
import pytest

from b2scvr.bitstream.header_damage import FieldRecorder, change_header
from b2scvr.bitstream.mutations import ANNEXB_STEPS, BYTE_STEPS, mutate
from b2scvr.bitstream.nal import START_CODE, NalType, scan, unescape
from b2scvr.bitstream.reader import decode
from b2scvr.bitstream.slice_header import SliceHeader, parse_slice_header
from b2scvr.bitstream.specimens import ALL, H264, make, moving_pictures
from b2scvr.bitstream.syntax import ParameterSets, parse_pps, parse_sps
from b2scvr.types import SpliceError

STREAMS = {name: make(ALL[name], moving_pictures(4)) for name in ("cabac", "cavlc", "slices")}


def bit_string(rbsp):
    return f"{int.from_bytes(rbsp, 'big'):0{8 * len(rbsp)}b}"


def nals(data):
    return [data[nal.payload : nal.end] for nal in scan(data)]


def test_the_same_seed_gives_the_same_mutant():
    data = STREAMS["cabac"]
    first, again = ([mutate(data, seed) for seed in range(150)] for _ in range(2))
    assert first == again
    assert len({mutant.data for mutant in first}) > 130
    assert {step for mutant in first for step in mutant.steps} == set(ANNEXB_STEPS) | set(BYTE_STEPS)
    assert all(len(mutant.steps) == len(mutant.details) and 1 <= len(mutant.steps) <= 3 for mutant in first)


def test_a_container_is_mutated_byte_by_byte():
    mutants = [mutate(STREAMS["cabac"], seed, is_annexb=False) for seed in range(80)]
    assert {step for mutant in mutants for step in mutant.steps} == set(BYTE_STEPS)


@pytest.mark.parametrize("name", [*BYTE_STEPS, *ANNEXB_STEPS])
@pytest.mark.parametrize(
    "data", [b"\x00\x00\x01\x67", START_CODE + b"\x65a" + START_CODE, b"\x01" + START_CODE + b"\x68"]
)
def test_every_step_takes_the_shortest_streams(name, data):
    step = (BYTE_STEPS | ANNEXB_STEPS)[name]
    for seed in range(20):
        out, detail = step(data, random.Random(seed))
        assert isinstance(out, bytes) and detail


def test_an_empty_stream_stays_empty():
    assert mutate(b"", 1).data == b"" and mutate(b"", 1).steps == ()


def apply(name, data, seed):
    return (BYTE_STEPS | ANNEXB_STEPS)[name](data, random.Random(seed))[0]


@pytest.mark.parametrize("seed", range(12))
def test_steps_do_what_they_say(seed):
    data = STREAMS["slices"]
    units = nals(data)
    assert len(apply("flip bits", data, seed)) == len(data)
    assert len(apply("overwrite bytes", data, seed)) == len(data)
    assert sorted(apply("swap ranges", data, seed)) == sorted(data)
    assert data.startswith(apply("truncate", data, seed)) and data.endswith(apply("behead", data, seed))
    assert len(apply("cut bytes", data, seed)) < len(data) < len(apply("insert bytes", data, seed))
    assert len(nals(apply("plant a start code", data, seed))) >= len(units)
    dropped = nals(apply("drop a NAL unit", data, seed))
    assert len(dropped) == len(units) - 1 and set(dropped) < set(units)
    doubled = nals(apply("duplicate a NAL unit", data, seed))
    assert len(doubled) == len(units) + 1 and set(doubled) == set(units)
    swapped = nals(apply("swap NAL units", data, seed))
    assert sorted(swapped) == sorted(units) and sum(a != b for a, b in zip(swapped, units, strict=True)) in (0, 2)
    shortened = nals(apply("truncate a NAL unit", data, seed))
    assert sum(map(len, shortened)) < sum(map(len, units)) and len(units) - len(shortened) in (0, 1)


# --- header fields --------------------------------------------------------------------------------------------------


def test_the_recorder_notes_each_number_once():
    stream = STREAMS["cabac"]
    raw = next(unit for unit in nals(stream) if unit[0] & 0x1F == NalType.SPS)
    recorders = []

    def reader(rbsp):
        recorders.append(FieldRecorder(rbsp))
        return recorders[-1]

    assert parse_sps(unescape(raw[1:]), reader) == parse_sps(unescape(raw[1:]))
    fields = recorders[0].fields
    ends = [start + length for start, length, _, _ in fields]
    assert [start for start, _, _, _ in fields][1:] == ends[:-1] and fields[0][0] == 0  # no gap, no overlap
    assert [value for _, _, _, value in fields][:3] == [100, 0, raw[3]]  # profile_idc, constraint flags, level_idc
    assert {kind for _, _, kind, _ in fields} == {"u", "ue"}


def headers(stream):
    """Every header of a stream as it is read; other NAL units as they are."""
    sets, found = ParameterSets(), []
    for raw in nals(stream):
        kind = raw[0] & 0x1F
        if kind in (NalType.SPS, NalType.PPS):
            sets.update(START_CODE + raw)
            found.append(
                parse_sps(unescape(raw[1:])) if kind == NalType.SPS else parse_pps(unescape(raw[1:]), sets.sps)
            )
        elif kind in (NalType.SLICE, NalType.IDR):
            found.append(parse_slice_header(raw, sets))
        else:
            found.append(raw)
    return found


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("seed", range(40))
def test_one_field_changes_and_nothing_else_does(name, seed):
    stream = STREAMS[name]
    draw = random.Random(seed)
    units = nals(stream)
    chosen = draw.choice([n for n, unit in enumerate(units) if unit[0] & 0x1F in (1, 5, 7, 8)])
    changed, detail = change_header(stream, chosen, draw)
    after = nals(changed)
    assert "->" in detail and len(after) == len(units)
    assert [n for n, (a, b) in enumerate(zip(units, after, strict=True)) if a != b] == [chosen]
    header = headers(stream)[chosen]
    if isinstance(header, SliceHeader):  # CABAC's slice data stay aligned, byte by byte (7.3.4), CAVLC's bit by bit
        old, new = unescape(units[chosen][1:]), unescape(after[chosen][1:])
        begin = header.header_bits if name == "cavlc" else -(-header.header_bits // 8) * 8
        data = bit_string(old)[begin:]
        assert data.rstrip("0") and bit_string(new).rstrip("0").endswith(data.rstrip("0"))
        assert name == "cavlc" or new.endswith(old[begin // 8 :])


def test_a_slice_with_another_qp_decodes_to_other_samples():
    """A field that shifts nothing else: the stream stays readable, only what the field says is different."""
    stream = STREAMS["cabac"]
    first = next(number for number, nal in enumerate(scan(stream)) if nal.is_slice)
    before = headers(stream)
    for seed in range(300):
        changed, _ = change_header(stream, first, random.Random(seed))
        try:
            after = headers(changed)
        except SpliceError:
            continue  # another field, out of its range
        if replace(after[first], slice_qp_delta=0, header_bits=0) == replace(
            before[first], slice_qp_delta=0, header_bits=0
        ):
            break
    else:
        pytest.fail("no seed changes slice_qp_delta alone")
    pictures = [decode(data).clip.frames for data in (stream, changed)]
    assert len(pictures[0]) == len(pictures[1]) and not np.array_equal(pictures[0][0], pictures[1][0])


# --- specimens ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("specimen", H264, ids=lambda specimen: specimen.name)
def test_specimens_are_what_they_are_called(specimen):
    pictures = moving_pictures(4, seed=3)
    stream = make(specimen, pictures)
    assert stream == make(specimen, pictures)
    sets = ParameterSets()
    sets.update(stream)
    sps, pps = next(iter(sets.sps.values())), next(iter(sets.pps.values()))
    slices = sum(nal.is_slice for nal in scan(stream))
    name = specimen.name
    assert pps.cabac is not ("cavlc" in name or name == "baseline")
    assert slices == {"slices": 16, "slices-cavlc": 12}.get(name, 4)
    assert sps.frame_mbs_only is not name.startswith("mbaff")
    assert sps.bit_depth_luma == (10 if name.startswith("10-bit") else 8)
    chroma = {"4:0:0": 0, "4:2:2": 2, "10-bit-4:2:2": 2, "4:4:4": 3, "lossless": 3}
    assert sps.chroma_format_idc == chroma.get(name, 1)
    assert (sps.size == (68, 88)) is (name == "cropped")
