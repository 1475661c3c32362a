#!/usr/bin/env python
"""Show what is in a coded video: in figures, as a timeline, and as layers over its pictures.

    python tools/inspect_bitstream.py clip.h264                  # figures only, nothing is written
    python tools/inspect_bitstream.py clip.h264 --output look    # look/clip/timeline.png and the worst pictures
    python tools/inspect_bitstream.py clip.h264 --output look --pictures 12,40-52 --layers vectors modes
    python tools/inspect_bitstream.py clip.h264 --output look --layers trace --video

Exit code 0 done, 2 wrong use or an output that exists, 3 an input that cannot be read or an output not written.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # works without an installed package too

from rich.console import Console

from b2scvr.bitstream.assembly import CodedClip
from b2scvr.bitstream.describe import Summary, access_units, summarise
from b2scvr.bitstream.reader import read_coded
from b2scvr.engine.inputs import UsageError
from b2scvr.engine.output import whole_folder
from b2scvr.engine.progress import StageProgress
from b2scvr.types import InputError, ParsedClip
from b2scvr.write.inspection import (
    LAYERS,
    absent_layers,
    choose_pictures,
    parse_ranges,
    summary_table,
    units_table,
    write_inspection,
)
from b2scvr.write.inspection.folder import NAMED_CHOICES
from b2scvr.write.inspection.tables import name_absent

_USAGE, _UNUSABLE = 2, 3
_PIPED_WIDTH = 120  # columns where no terminal tells its own


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def main(argv: list[str] | None = None) -> int:
    """Inspect one video; return the exit code."""
    try:
        arguments = _arguments(argv)
        target = arguments.output / (arguments.input.stem or arguments.input.name) if arguments.output else None
        if target and target.exists() and not arguments.overwrite:
            raise UsageError(f"{target} exists already: pass --overwrite to replace it, or another --output")
        with StageProgress(arguments.input.name) as progress:
            progress("reading", 0, 0)
            coded = read_coded(arguments.input)
            summary = summarise(coded)
            pictures, layers = _chosen(arguments, coded.clip)
            if target:
                with whole_folder(target) as folder:
                    write_inspection(
                        folder, coded, summary, arguments.input.name, pictures, layers, arguments.video, progress
                    )
    except UsageError as error:
        return _complain(error, _USAGE)
    except (InputError, OSError) as error:
        return _complain(error, _UNUSABLE)
    _tell(arguments, coded, summary, target)
    return 0


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    it = _Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    it.add_argument("input", type=Path, metavar="INPUT", help="elementary stream or container")
    it.add_argument("--output", type=Path, metavar="DIR", help="write timeline and pictures to DIR/NAME/")
    it.add_argument("--pictures", type=_pictures, metavar="WHICH",
                    help="display indices like 12,40-52, or worst (the default), damaged, all")  # fmt: skip
    it.add_argument("--layers", nargs="+", choices=LAYERS, metavar="LAYER",
                    help=f"{', '.join(LAYERS)} (default: all that the stream has)")  # fmt: skip
    it.add_argument("--video", action="store_true", help="also one MP4 of all pictures for each layer")
    it.add_argument("--units", action="store_true", help="list every access unit")
    it.add_argument("--json", action="store_true", help="print JSON instead of tables")
    it.add_argument("--overwrite", action="store_true", help="replace an earlier inspection")
    arguments = it.parse_args(argv)
    if not arguments.output:
        for name in ("pictures", "layers", "video", "overwrite"):
            if getattr(arguments, name):
                raise UsageError(f"--{name} needs --output DIR to write to")
    return arguments


def _pictures(text: str) -> str:
    if text not in NAMED_CHOICES:
        try:
            parse_ranges(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _chosen(arguments: argparse.Namespace, clip: ParsedClip) -> tuple[list[int], list[str]]:
    """Return pictures and layers to draw. Raises UsageError when the stream has not got a picture that was asked for."""
    try:
        pictures = choose_pictures(clip, arguments.pictures or "worst")
    except ValueError as error:
        raise UsageError(f"{arguments.input}: {error}") from error
    absent = absent_layers(clip)
    return pictures, [layer for layer in dict.fromkeys(arguments.layers or LAYERS) if layer not in absent]


def _tell(arguments: argparse.Namespace, coded: CodedClip, summary: Summary, target: Path | None) -> None:
    written = sorted(path.name for path in target.iterdir()) if target else []
    units = access_units(coded) if arguments.units else []
    not_drawn = {
        layer: why for layer, why in absent_layers(coded.clip).items() if layer in (arguments.layers or LAYERS)
    }
    if arguments.json:
        told = {"input": str(arguments.input), "output": str(target) if target else None, "files": written}
        if target:
            told["not_drawn"] = not_drawn
        rows = {"access_units": [asdict(unit) for unit in units]} if arguments.units else {}
        print(json.dumps(told | asdict(summary) | rows))
        return
    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_PIPED_WIDTH)
    console.print(summary_table(summary, str(arguments.input)))
    if units:
        console.print(units_table(units))
    if target:
        console.print(f"{len(written)} files in {target}", markup=False, soft_wrap=True)
        for words in name_absent(not_drawn):
            console.print(f"not drawn: {words}", markup=False, soft_wrap=True)


def _complain(error: Exception, code: int) -> int:
    print(f"inspect_bitstream: {' '.join(str(error).split())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
