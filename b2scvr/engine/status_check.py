"""How truly the status of access units is told: damaged copies of clean streams against what is known of them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from b2scvr.bitstream.assembly import CodedClip
from b2scvr.bitstream.damage import BRANCHES, damage
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.nal import scan
from b2scvr.bitstream.reader import decode
from b2scvr.bitstream.video import load_frames
from b2scvr.types import AccessUnitStatus

Count = Counter[tuple[str, str, str]]  # kind of damage, true status, told status
STREAMS: dict[str, dict[str, str]] = {  # options of x264 by name
    "default": {},
    "no B": {"bf": "0"},
    "CAVLC": {"coder": "cavlc"},
    "CAVLC, no B": {"coder": "cavlc", "bf": "0"},
    "4 slices": {"slices": "4"},
    "open GOP": {"x264-params": "open-gop=1"},
}
SIZES = ((426, 240), (640, 360), (854, 480))
KINDS = ("cut", "cut at the end", "bit flips", "header destroyed", "unit removed")
_HEADER_BYTES = 24  # overwritten to destroy a slice header


@dataclass(frozen=True)
class Task:
    """One clean stream and the damages made of it."""

    path: Path
    stream: str
    size: tuple[int, int]
    pictures: int
    seeds: tuple[int, ...]


def tasks(footage: list[Path], damages: int, per_stream: int = 12, pictures: int = 48) -> list[Task]:
    """Return tasks that make `damages` damaged streams in all: footage, streams and sizes in turn."""
    out = []
    for number, first in enumerate(range(0, damages, per_stream)):
        seeds = tuple(range(first, min(damages, first + per_stream)))
        stream = list(STREAMS)[number % len(STREAMS)]
        size = SIZES[number // len(STREAMS) % len(SIZES)]
        out.append(Task(footage[number % len(footage)], stream, size, pictures, seeds))
    return out


def check(task: Task) -> Count:
    """Return how often each true status was told as which one."""
    frames = load_frames(task.path, size=task.size, stop=task.pictures)
    clean = decode(encode_h264(frames, options=STREAMS[task.stream]))
    count: Count = Counter()
    for seed in task.seeds:
        kind = KINDS[seed % len(KINDS)]
        damaged, origin, broken = _damaged(clean, kind, random.Random(seed))
        told = decode(damaged).clip
        if len(told) != len(origin):
            count[kind, "an access unit", "no slot"] += abs(len(told) - len(origin))
            continue
        truth = _truth(clean, told.frames, told.decode_index, told.lost, origin, broken)
        for slot, true in enumerate(truth):
            count[kind, true.name, AccessUnitStatus(int(told.status[slot])).name] += 1
    return count


def rates(count: Count, status: AccessUnitStatus, kind: str | None = None) -> tuple[float, float, int]:
    """Return precision and recall of one status, and how many access units have it; nan where there is none."""
    rows = {key: n for key, n in count.items() if kind in (None, key[0])}
    right = sum(n for (_, true, told), n in rows.items() if true == told == status.name)
    told_all = sum(n for (_, _, told), n in rows.items() if told == status.name)
    true_all = sum(n for (_, true, _), n in rows.items() if true == status.name)
    nan = float("nan")
    return right / told_all if told_all else nan, right / true_all if true_all else nan, true_all


def _damaged(clean: CodedClip, kind: str, draw: random.Random) -> tuple[bytes, list[int], set[int]]:
    """Return the damaged stream, the decode index in the clean stream of each access unit left, and which lost bits."""
    units = list(clean.access_units)
    origin = list(range(len(units)))
    chosen = draw.randrange(1, len(units))
    if kind.startswith("cut"):
        model = replace(draw.choice(list(BRANCHES.values())), seed=draw.getrandbits(30))
        if kind == "cut at the end":
            model = replace(model, position=1.0, length=draw.choice((16, 64, 512, 2048)))
        data, cuts = damage(clean.stream(), model)
        return data, origin, {cut.access_unit for cut in cuts}
    if kind == "unit removed":
        del units[chosen], origin[chosen]
        return b"".join(units), origin, set()
    unit = bytearray(units[chosen])
    slices = [nal for nal in scan(units[chosen]) if nal.is_slice]
    if kind == "header destroyed":
        for nal in slices:
            unit[nal.payload + 1 : min(nal.end, nal.payload + _HEADER_BYTES)] = b"\xff" * (
                min(nal.end, nal.payload + _HEADER_BYTES) - nal.payload - 1
            )
    else:
        nal = draw.choice(slices)
        for _ in range(draw.randint(1, 8)):
            unit[draw.randrange(min(nal.payload + 16, nal.end - 1), nal.end)] ^= 1 << draw.randrange(8)
    units[chosen] = bytes(unit)
    return b"".join(units), origin, {chosen}


def _truth(
    clean: CodedClip,
    frames: np.ndarray,
    decode_index: np.ndarray,
    lost: np.ndarray,
    origin: list[int],
    broken: set[int],
) -> Iterator[AccessUnitStatus]:
    """Yield the true status by slot: broken where bits were lost, dependent where only the pixels differ."""
    slot_of = {int(index): slot for slot, index in enumerate(clean.clip.decode_index)}
    for slot, index in enumerate(decode_index):
        source = origin[int(index)]
        if lost[slot]:
            yield AccessUnitStatus.LOST
        elif source in broken:
            yield AccessUnitStatus.BROKEN
        elif np.array_equal(frames[slot], clean.clip.frames[slot_of[source]]):
            yield AccessUnitStatus.INTACT
        else:
            yield AccessUnitStatus.DEPENDENT
