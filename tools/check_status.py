#!/usr/bin/env python
"""Measure how truly the status of access units is told, over seeded damages of clean footage.

    python tools/check_status.py FOOTAGE --damages 1000 --jobs 2

Precision and recall of each status, over all and by kind of damage, as a Markdown table (or --json).
Exit code 0 done, 2 wrong arguments, 3 footage that cannot be used.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # works without an installed package too

from b2scvr.bitstream.video import list_videos
from b2scvr.engine.status_check import KINDS, Count, check, rates, tasks
from b2scvr.types import AccessUnitStatus, InputError

_UNUSABLE = 3


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    it = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    it.add_argument("footage", type=Path, help="folder of clean videos")
    it.add_argument("--damages", type=int, default=1000, metavar="N", help="damaged streams to make (default 1000)")
    it.add_argument("--pictures", type=int, default=48, metavar="N", help="pictures a stream (default 48)")
    it.add_argument("--jobs", type=int, default=1, metavar="N", help="processes (default 1)")
    it.add_argument("--json", action="store_true", help="print all counts as JSON")
    return it


def main(argv: list[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    arguments = parser().parse_args(argv)
    if min(arguments.damages, arguments.pictures, arguments.jobs) < 1:
        parser().error("--damages, --pictures and --jobs must be at least 1")
    try:
        footage = list_videos(arguments.footage)
    except InputError as error:
        print(f"check_status.py: {error}", file=sys.stderr)
        return _UNUSABLE
    count: Count = Counter()
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for found in pool.map(check, tasks(footage, arguments.damages, pictures=arguments.pictures)):
            count += found
    if arguments.json:
        print(json.dumps([[*key, number] for key, number in sorted(count.items())]))
    else:
        print(f"{arguments.damages} damaged streams, {sum(count.values())} access units\n\n{_table(count)}")
    return 0


def _table(count: Count) -> str:
    names = [status.name.lower() for status in AccessUnitStatus]
    lines = ["| damage | " + " | ".join(f"{name}: precision, recall (number)" for name in names) + " |"]
    lines.append("| --- |" + " --- |" * len(names))
    for kind in (None, *KINDS):
        cells = [f"{p:.4f}, {r:.4f} ({n})" for p, r, n in (rates(count, status, kind) for status in AccessUnitStatus)]
        lines.append(f"| {kind or 'all'} | " + " | ".join(cells) + " |")
    slots = sum(n for (_, _, told), n in count.items() if told == "no slot")
    return "\n".join(lines) + f"\n\naccess units without a slot of their own: {slots}"


if __name__ == "__main__":
    sys.exit(main())
