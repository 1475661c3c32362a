"""Whether a stream keeps to the limits of the level that it names (H.264 annex A.3, table A-1).

I_PCM pictures are far larger than what they replace. Most players do not mind; a decoder in hardware that only just keeps
to the level may run out of buffer or of time.
"""

from __future__ import annotations

from dataclasses import dataclass

from b2scvr.bitstream.describe import level_name
from b2scvr.bitstream.syntax import ParameterSets, Sps

_MB_BYTES = 384  # of samples in a macroblock of 8 bit 4:2:0
_FRAME_RATE_BOUND = 172  # 1 / fR: pictures a second that the first access unit's limit is counted with (A.3.1)
_LEAST_COMPRESSION = {"3.1": 4, "3.2": 4, "4": 4}  # MinCR; 2 at all other levels
# cpbBrNalFactor (table A-2) by profile_idc: bits a second for each unit of MaxBR; 4:2:2 and 4:4:4 profiles have the last.
_NAL_FACTORS = {66: 1200, 77: 1200, 88: 1200, 100: 1500, 110: 3600}
_NAL_FACTOR_PROFESSIONAL = 4800


@dataclass(frozen=True)
class Level:
    """One row of table A-1."""

    name: str
    macroblocks_per_second: int  # MaxMBPS
    frame_size: int  # MaxFS, in macroblocks
    rate: int  # MaxBR, in units of cpbBrNalFactor bits a second
    buffer: int  # MaxCPB, in units of cpbBrNalFactor bits

    @property
    def least_compression(self) -> int:
        """MinCR: how many times smaller than its samples a picture must be."""
        return _LEAST_COMPRESSION.get(self.name, 2)


LEVELS = tuple(
    Level(*row)
    for row in (
        ("1", 1485, 99, 64, 175), ("1b", 1485, 99, 128, 350), ("1.1", 3000, 396, 192, 500),
        ("1.2", 6000, 396, 384, 1000), ("1.3", 11880, 396, 768, 2000), ("2", 11880, 396, 2000, 2000),
        ("2.1", 19800, 792, 4000, 4000), ("2.2", 20250, 1620, 4000, 4000), ("3", 40500, 1620, 10000, 10000),
        ("3.1", 108000, 3600, 14000, 14000), ("3.2", 216000, 5120, 20000, 20000), ("4", 245760, 8192, 20000, 25000),
        ("4.1", 245760, 8192, 50000, 62500), ("4.2", 522240, 8704, 50000, 62500), ("5", 589824, 22080, 135000, 135000),
        ("5.1", 983040, 36864, 240000, 240000), ("5.2", 2073600, 36864, 240000, 240000),
        ("6", 4177920, 139264, 240000, 240000), ("6.1", 8355840, 139264, 480000, 480000),
        ("6.2", 16711680, 139264, 800000, 800000),
    )
)  # fmt: skip


@dataclass(frozen=True)
class LevelUse:
    """What a stream asks of a decoder, beside what a level allows."""

    level: Level
    buffer_bits: int  # that the coded picture buffer must hold when it is filled at the level's highest rate (annex C)
    buffer_limit: int
    picture_bytes: int  # of the access unit that goes furthest beyond its limit, or comes nearest to it
    picture_limit: int

    @property
    def exceeds(self) -> bool:
        """Whether a limit is passed."""
        return self.buffer_bits > self.buffer_limit or self.picture_bytes > self.picture_limit


def level_use(sizes: list[int], sps: Sps, fps: float, level: Level | None = None) -> LevelUse | None:
    """Return what a stream asks of a decoder of `level`, by default the one that its SPS names (None for one unknown).

    sizes: bytes of each access unit, in decoding order. fps: pictures a second, at even distances; above 0. Looked at are
    what more bytes can change: the buffer at the highest rate (MaxBR, MaxCPB) and the size of each access unit (A.3.1,
    MaxMBPS and MinCR). Counted is all of the elementary stream (type II conformance, cpbBrNalFactor).
    """
    if level is None:
        name = level_name(sps.level_idc, sps.profile_idc, sps.constraint_flags)
        level = next((level for level in LEVELS if level.name == name), None)
    if level is None or not sizes:
        return None
    factor = _NAL_FACTORS.get(sps.profile_idc, _NAL_FACTOR_PROFESSIONAL)
    arriving = level.rate * factor / fps  # bits from one picture to the next
    held, most = 0.0, 0.0
    for size in sizes:
        held = max(0.0, held - arriving) + 8 * size
        most = max(most, held)
    bytes_per_second = _MB_BYTES * level.macroblocks_per_second / level.least_compression
    macroblocks = sps.width_mbs * sps.height_mbs
    first = max(macroblocks, level.macroblocks_per_second / _FRAME_RATE_BOUND) * _MB_BYTES / level.least_compression
    limits = [first, *[bytes_per_second / fps] * (len(sizes) - 1)]
    worst = max(range(len(sizes)), key=lambda n: sizes[n] / limits[n])
    return LevelUse(level, round(most), level.buffer * factor, sizes[worst], int(limits[worst]))


def level_that_holds(sizes: list[int], sps: Sps, fps: float) -> Level | None:
    """Return the lowest level whose limits a stream keeps to, frame size included; None when no level is high enough."""
    macroblocks = sps.width_mbs * sps.height_mbs
    for level in LEVELS:
        use = level_use(sizes, sps, fps, level)
        holds = macroblocks <= level.frame_size and macroblocks * fps <= level.macroblocks_per_second
        if use is not None and holds and not use.exceeds:
            return level
    return None


def level_notes(sent: list[bytes], repaired: list[bytes], fps: float) -> list[str]:
    """Say in words how much a stream grew by its repair, and when it passes its level's limits by that, with the way out.

    sent, repaired: access units in decoding order. Empty when nothing changed.
    """
    if sent == repaired:
        return []
    before, after = ([len(unit) for unit in units] for units in (sent, repaired))
    notes = [
        f"the repaired stream is {sum(after) / max(1, sum(before)):.1f} times as large ({sum(after) / 1e6:.1f} MB)"
    ]
    sets = ParameterSets()
    for unit in repaired:
        sets.update(unit)
    if not sets.sps or fps <= 0:
        return notes
    sps = next(iter(sets.sps.values()))
    old, new = level_use(before, sps, fps), level_use(after, sps, fps)
    if old is None or new is None or old.exceeds or not new.exceeds:
        return notes
    parts = []
    if new.buffer_bits > new.buffer_limit:
        parts.append(f"{new.buffer_bits / 1e6:.1f} Mbit of buffer instead of {new.buffer_limit / 1e6:.1f}")
    if new.picture_bytes > new.picture_limit:
        parts.append(f"{new.picture_bytes} bytes in one picture instead of {new.picture_limit}")
    enough = level_that_holds(after, sps, fps)
    notes.append(
        f"the repaired stream passes the limits of level {new.level.name} that it names (H.264 A.3): {' and '.join(parts)}; "
        + (f"a decoder of level {enough.name} plays it" if enough else "no level allows so much")
        + ", for others take recovered.mp4, the re-encoded copy"
    )
    return notes
