"""What an inspection leaves on disk: the timeline, pictures with their layers, a video a layer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from b2scvr.bitstream.assembly import CodedClip
from b2scvr.bitstream.describe import Summary, absent_evidence, access_units
from b2scvr.types import AccessUnitStatus, ParsedClip, Progress
from b2scvr.write.inspection.layers import draw_layer
from b2scvr.write.inspection.tables import count_pictures
from b2scvr.write.inspection.timeline import draw_timeline
from b2scvr.write.png import write_picture
from b2scvr.write.video import write_video

WORST = 4  # pictures of the choice "worst"
NAMED_CHOICES = ("worst", "damaged", "all")


def choose_pictures(clip: ParsedClip, choice: str) -> list[int]:
    """Return display indices: "all", "damaged" (status not intact), "worst", or numbers and ranges as in "12,40-52".

    worst: the WORST pictures with most concealed macroblocks, then most damage trace; of an undamaged clip its first
    picture and its first predicted one. Raises ValueError for anything else, or a picture that the clip has not.
    """
    if choice == "all":
        return list(range(len(clip)))
    damaged = np.flatnonzero(clip.status != AccessUnitStatus.INTACT)
    if choice == "damaged":
        return damaged.tolist()
    if choice == "worst":
        return _worst(clip, damaged)
    chosen = sorted({index for first, last in parse_ranges(choice) for index in range(first, min(last, len(clip)) + 1)})
    if chosen[-1] >= len(clip):
        raise ValueError(f"picture {chosen[-1]} was asked for, the last one is {len(clip) - 1}")
    return chosen


def parse_ranges(text: str) -> list[tuple[int, int]]:
    """Return (first, last) of each part of "12,40-52"; ValueError says how it is written."""
    ranges = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not (first.isascii() and first.isdecimal()) or (dash and not (last.isascii() and last.isdecimal())):
            raise ValueError(f"expected pictures like 12,40-52, or {', '.join(NAMED_CHOICES)}, not {text!r}")
        ranges.append((int(first), int(last) if dash else int(first)))
        if ranges[-1][0] > ranges[-1][1]:
            raise ValueError(f"{part.strip()}: the first picture of a range comes first")
    return ranges


def write_inspection(
    folder: Path,
    coded: CodedClip,
    summary: Summary,
    name: str,
    pictures: list[int],
    layers: list[str],
    video: bool,
    progress: Progress,
) -> None:
    """Write timeline.png, picture_00012_vectors.png for each picture and layer, and vectors.mp4 for each layer of a video.

    name: of the stream, for the title. pictures: display indices; layers: keys of layers.LAYERS that the clip has. A
    video shows all pictures. `folder` is there.
    """
    clip = coded.clip
    absent = absent_evidence(clip).get("concealed", "")
    write_picture(folder / "timeline.png", draw_timeline(access_units(coded), _title(name, summary), clip.fps, absent))
    for done, index in enumerate(pictures):
        progress("pictures", done, len(pictures))
        for layer in layers:
            write_picture(folder / f"picture_{index:05d}_{layer}.png", draw_layer(clip, index, layer))
    for layer in layers if video else []:
        write_video(folder / f"{layer}.mp4", _drawn(clip, layer, progress), clip.fps)


def _drawn(clip: ParsedClip, layer: str, progress: Progress) -> Iterator[np.ndarray]:
    for index in range(len(clip)):
        progress(f"{layer}.mp4", index, len(clip))
        yield draw_layer(clip, index, layer)


def _worst(clip: ParsedClip, damaged: np.ndarray) -> list[int]:
    if not len(damaged):
        predicted = np.flatnonzero((clip.mv_past_valid | clip.mv_future_valid).any(axis=(1, 2)))
        return sorted({0, *predicted[:1].tolist()})
    concealed, trace = (m[damaged].mean(axis=(1, 2)) for m in (clip.concealed, clip.damage_trace))
    shown = ~clip.lost[damaged]  # a lost picture has nothing to show but the one before it
    return sorted(damaged[np.lexsort((-trace, -concealed, ~shown))[:WORST]].tolist())


def _title(name: str, summary: Summary) -> str:
    size = f"{summary.width}x{summary.height}"
    return f"{name}: {summary.codec}, {size}, {count_pictures(summary.pictures)}, {summary.fps:.5g} a second"
