"""Seeded mutations of coded streams: what storage, networks, broken tools and bad luck do to a file, and worse.

Unlike the damage models, which imitate a channel, these try everything. The same bytes and seed give the same mutant.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from b2scvr.bitstream.header_damage import HEADERS, change_header
from b2scvr.bitstream.nal import START_CODE, scan

_MOST_STEPS = 3
_MOST_FLIPS = 12
_LONGEST = 400  # bytes of a cut, an insertion or an overwritten range
_HEADER_BYTES = 24  # garbage in place of a header

Step = Callable[[bytes, random.Random], tuple[bytes, str]]


@dataclass(frozen=True)
class Mutant:
    """A mutated stream and how it came about."""

    data: bytes
    steps: tuple[str, ...]  # names of what was done, in order
    details: tuple[str, ...]  # the same in full


def mutate(data: bytes, seed: int, is_annexb: bool = True) -> Mutant:
    """Return a mutant of `data` after one to three steps. is_annexb: NAL units may be dropped, swapped and rewritten too."""
    draw = random.Random(seed)
    steps = ANNEXB_STEPS | BYTE_STEPS if is_annexb else BYTE_STEPS
    names, details = [], []
    for _ in range(draw.choice((1, 1, 2, _MOST_STEPS))):
        name = draw.choice(sorted(steps))
        if not data or (name in ANNEXB_STEPS and not scan(data)):
            break
        data, detail = steps[name](data, draw)
        names.append(name)
        details.append(f"{name}: {detail}")
    return Mutant(data, tuple(names), tuple(details))


def flip_bits(data: bytes, draw: random.Random) -> tuple[bytes, str]:
    """Invert a few bits anywhere."""
    out = bytearray(data)
    places = [draw.randrange(len(data)) for _ in range(draw.randint(1, _MOST_FLIPS))]
    for place in places:
        out[place] ^= 1 << draw.randrange(8)
    return bytes(out), f"{len(places)} bits from byte {min(places)} on"


def cut_bytes(data: bytes, draw: random.Random) -> tuple[bytes, str]:
    """Take bytes out."""
    start, length = _range(data, draw)
    return data[:start] + data[start + length :], f"{length} bytes at {start}"


def insert_bytes(data: bytes, draw: random.Random) -> tuple[bytes, str]:
    """Put bytes in: noise, zeros, or a piece of the stream itself."""
    start, length = _range(data, draw)
    place = draw.randint(0, len(data))
    new = draw.choice((draw.randbytes(length), bytes(length), data[start : start + length]))
    return data[:place] + new + data[place:], f"{len(new)} bytes at {place}"


def overwrite_bytes(data: bytes, draw: random.Random) -> tuple[bytes, str]:
    """Replace bytes by noise, zeros or ones, as a lost sector does."""
    start, length = _range(data, draw)
    new = draw.choice((draw.randbytes(length), bytes(length), b"\xff" * length))
    return data[:start] + new + data[start + length :], f"{length} bytes at {start}"


def truncate(data: bytes, draw: random.Random) -> tuple[bytes, str]:
    """Cut the end off."""
    end = draw.randint(1, len(data))
    return data[:end], f"from byte {end} on"


def behead(data: bytes, draw: random.Random) -> tuple[bytes, str]:
    """Cut the start off."""
    start = draw.randint(0, len(data) // 2)
    return data[start:], f"up to byte {start}"


def swap_ranges(data: bytes, draw: random.Random) -> tuple[bytes, str]:
    """Exchange two neighbouring ranges, as packets that overtake each other."""
    start, length = _range(data, draw)
    middle = start + draw.randint(0, length)
    return data[:start] + data[middle : start + length] + data[start:middle] + data[
        start + length :
    ], f"around {middle}"


def plant_start_code(data: bytes, draw: random.Random) -> tuple[bytes, str]:
    """Put a start code with a NAL header anywhere."""
    place, header = draw.randrange(len(data)), draw.randrange(256)
    return data[:place] + START_CODE + bytes([header]) + data[place:], f"NAL header {header} at {place}"


def drop_nal(data: bytes, draw: random.Random) -> tuple[bytes, str]:
    """Lose a NAL unit."""
    pieces = _pieces(data)
    number = draw.randrange(len(pieces))
    return b"".join(pieces[:number] + pieces[number + 1 :]), f"unit {number} of {len(pieces)}"


def duplicate_nal(data: bytes, draw: random.Random) -> tuple[bytes, str]:
    """Send a NAL unit twice, at once or again later."""
    pieces = _pieces(data)
    number = draw.randrange(len(pieces))
    place = draw.choice((number + 1, draw.randint(0, len(pieces))))
    return b"".join([*pieces[:place], pieces[number], *pieces[place:]]), f"unit {number} of {len(pieces)} at {place}"


def swap_nals(data: bytes, draw: random.Random) -> tuple[bytes, str]:
    """Exchange two NAL units, neighbours or not."""
    pieces = _pieces(data)
    first = draw.randrange(len(pieces))
    second = draw.choice((min(first + 1, len(pieces) - 1), draw.randrange(len(pieces))))
    pieces[first], pieces[second] = pieces[second], pieces[first]
    return b"".join(pieces), f"units {first} and {second} of {len(pieces)}"


def truncate_nal(data: bytes, draw: random.Random) -> tuple[bytes, str]:
    """Cut the end of a NAL unit off."""
    nals = scan(data)
    nal = draw.choice(nals)
    end = draw.randint(nal.payload, nal.end - 1)
    return data[:end] + data[nal.end :], f"{nal.end - end} bytes of unit {nals.index(nal)} of {len(nals)}"


def garbage_header(data: bytes, draw: random.Random) -> tuple[bytes, str]:
    """Overwrite the first bytes of a NAL unit, with or without its NAL header byte."""
    nals = scan(data)
    nal = draw.choice(nals)
    start = nal.payload + draw.randrange(2)
    length = min(nal.end - start, draw.randint(1, _HEADER_BYTES))
    noise = draw.randbytes(length)
    return data[:start] + noise + data[start + length :], f"{length} bytes of unit {nals.index(nal)} of {len(nals)}"


def change_field(data: bytes, draw: random.Random) -> tuple[bytes, str]:
    """Change one number of an SPS, a PPS or a slice header; each of the three kinds is equally likely."""
    nals = scan(data)
    kind = draw.choice(HEADERS)
    numbers = [number for number, nal in enumerate(nals) if nal.type == kind] or list(range(len(nals)))
    return change_header(data, draw.choice(numbers), draw)


BYTE_STEPS: dict[str, Step] = {
    "flip bits": flip_bits,
    "cut bytes": cut_bytes,
    "insert bytes": insert_bytes,
    "overwrite bytes": overwrite_bytes,
    "truncate": truncate,
    "behead": behead,
    "swap ranges": swap_ranges,
}
ANNEXB_STEPS: dict[str, Step] = {
    "plant a start code": plant_start_code,
    "drop a NAL unit": drop_nal,
    "duplicate a NAL unit": duplicate_nal,
    "swap NAL units": swap_nals,
    "truncate a NAL unit": truncate_nal,
    "garbage in a header": garbage_header,
    "change a header field": change_field,
    "change another header field": change_field,  # twice: there are many fields
}


def _range(data: bytes, draw: random.Random) -> tuple[int, int]:
    start = draw.randrange(len(data))
    return start, min(len(data) - start, draw.randint(1, draw.choice((4, 40, _LONGEST))))


def _pieces(data: bytes) -> list[bytes]:
    """The stream cut before each start code; what comes before the first one is a piece too."""
    starts = [nal.start for nal in scan(data)]
    return [data[a:b] for a, b in zip([0, *starts], [*starts, len(data)], strict=True) if b > a]
