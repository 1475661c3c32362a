"""A stream in figures as tables for a terminal."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text

from b2scvr.bitstream.describe import AccessUnit, Coding, Summary

_STYLES = {"intact": "", "dependent": "yellow", "broken": "bold magenta", "lost": "bold reverse"}
_MOST_RANGES = 12  # of picture numbers on one line


def summary_table(summary: Summary, name: str) -> Table:
    """Return the summary of a stream called `name`."""
    table = Table(box=None, show_header=False, title=Text(name, "bold"), title_justify="left", padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in _rows(summary):
        table.add_row(label, value)
    return table


def units_table(units: list[AccessUnit]) -> Table:
    """Return the table of access units."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("display", "decode", "type", "offset", "size", "slices", "status", "concealed", "trace"):
        table.add_column(heading, justify="left" if heading in ("type", "status") else "right", no_wrap=True)
    for unit in units:
        marks = " key" if unit.key else {True: " ref", False: "", None: ""}[unit.reference]
        table.add_row(
            str(unit.display_index),
            str(unit.decode_index),
            unit.type + marks,
            f"{unit.offset:,}",
            f"{unit.size:,}",
            "-" if unit.slices is None else str(unit.slices),
            Text(unit.status, _STYLES[unit.status]),
            _percent(unit.concealed),
            _percent(unit.trace),
        )
    return table


def name_ranges(pictures: list[int]) -> str:
    """Return picture numbers in short: "3, 7-12"; more than a line of them ends in how many there are."""
    ranges: list[list[int]] = []
    for index in pictures:
        if ranges and index == ranges[-1][1] + 1:
            ranges[-1][1] = index
        else:
            ranges.append([index, index])
    shown = [str(a) if a == b else f"{a}-{b}" for a, b in ranges[:_MOST_RANGES]]
    left = sum(b - a + 1 for a, b in ranges[_MOST_RANGES:])
    return ", ".join(shown) + (f" and {left} more" if left else "")


def count_pictures(count: int) -> str:
    """Return "1 picture", "2 pictures"."""
    return f"{count} picture{'s' * (count != 1)}"


def name_absent(absent: dict[str, str]) -> list[str]:
    """Return one line a reason: "qp, noticed: told for H.264 only"."""
    return [f"{', '.join(n for n in absent if absent[n] == why)}: {why}" for why in dict.fromkeys(absent.values())]


def _rows(summary: Summary) -> list[tuple[str, Text]]:
    rate = f", {8e-3 * summary.bytes / summary.seconds:.0f} kbit/s" if summary.seconds else ""
    rows = [
        ("stream", f"{summary.codec}, {summary.width}x{summary.height}, {summary.fps:.5g} pictures a second"),
        ("length", f"{count_pictures(summary.pictures)}, {summary.seconds:.2f} s, {summary.bytes:,} bytes{rate}"),
    ]
    rows += [("coding", _coding_words(coding)) for coding in summary.coding]
    if not summary.coding:
        rows.append(("coding", "not known: only the parameter sets of H.264 are read, and none was found"))
    if summary.slices_a_picture:
        low, high = summary.slices_a_picture
        rows.append(("slices", f"{low} a picture" if low == high else f"{low} to {high} a picture"))
    rows.append(("references", _reference_words(summary)))
    rows.append(("types", ", ".join(f"{count} {kind}" for kind, count in summary.types.items() if count)))
    rows.append(("key pictures", name_ranges(summary.key) or "none"))
    rows.append(("status", ", ".join(f"{count} {status}" for status, count in summary.statuses.items())))
    found = [(label, Text(value)) for label, value in rows]
    for status in ("broken", "dependent", "lost"):
        if pictures := getattr(summary, status):
            found.append((f"  {status}", Text(name_ranges(pictures), _STYLES[status])))
    if summary.broken or summary.lost:
        places = f"{summary.noticed} place{'s' * (summary.noticed != 1)}"
        words = f"{_percent(summary.concealed)} of all macroblocks concealed; the entropy decoder noticed {places}"
        found.append(("damage", Text(words)))
    found += [("evidence" if not n else "", _source(*item)) for n, item in enumerate(summary.sources.items())]
    found += [("missing", Text(words, "yellow")) for words in name_absent(summary.absent)]
    return found + [("note", Text(note, "yellow")) for note in summary.notes]


def _source(name: str, source: str) -> Text:
    return Text.assemble((f"{name}: ", "dim"), source)


def _coding_words(coding: Coding) -> str:
    words = [
        f"{coding.profile} profile, level {coding.level}",
        coding.entropy_coding,
        f"{coding.chroma} {coding.bit_depth} bit",
    ]
    words += ["8x8 transform"] * coding.transform_8x8 + ["weighted prediction"] * coding.weighted_prediction
    return ", ".join([*words, "interlaced" if coding.interlaced else "progressive"])


def _reference_words(summary: Summary) -> str:
    held = [f"up to {n} held" for n in sorted({coding.reference_frames for coding in summary.coding})]
    used = [] if summary.references_used is None else [f"up to {summary.references_used} used by one picture"]
    words = ", ".join(held + used) or "not known"
    if summary.missing_references:
        words += f"; {summary.missing_references:,} vectors into pictures that are not in the stream"
    if summary.unknown_references:
        words += f"; {summary.unknown_references:,} vectors whose picture is not known"
    return words


def _percent(share: float) -> str:
    return "" if not share else f"{100 * share:.1f} %"
