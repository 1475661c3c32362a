#!/usr/bin/env python
"""Damage a video as BSCV does: cut bytes out of some slices of each group of pictures of its H.264 stream.

    python tools/damage.py clip.h264 clip_2.h264 --branch 144096 --seed 0
    python tools/damage.py clip.mp4 clip_2.h264 --clean clip.h264 --size 854x480 --slices 2 --position 0.2 --length 1024

A video that is no elementary .h264 stream is encoded first, with x264. What was cut is written
as JSON, beside the output or to --manifest.
Exit code 0 done, 2 wrong arguments or an output that exists, 3 an input that cannot be used or an output not written.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # works without an installed package too

from b2scvr.bitstream.damage import BRANCHES, Cut, CutModel, branch, damage
from b2scvr.bitstream.encode import encode_video
from b2scvr.types import InputError

_ELEMENTARY = {".h264", ".264", ".avc"}
_USAGE, _UNUSABLE = 2, 3


class _UsageError(Exception):
    pass


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _UsageError(message)


def main(argv: list[str] | None = None) -> int:
    """Damage one video; return the exit code."""
    try:
        args = _arguments(argv)
        model = _model(args)
        manifest_path = args.manifest or args.output.with_name(args.output.name + ".json")
        _check_outputs(args, manifest_path)
    except (_UsageError, ValueError) as error:
        return _complain(error, _USAGE)
    try:
        clean = _clean_stream(args)
        damaged, cuts = damage(clean, model)
        if args.clean:
            _write(args.clean, clean)
        _write(args.output, damaged)
        _write(manifest_path, _manifest(args, model, cuts, clean, damaged))
    except (InputError, OSError, ValueError) as error:
        return _complain(error, _UNUSABLE)
    print(f"{args.output}: {len(cuts)} cuts, {len(clean)} -> {len(damaged)} bytes")
    return 0


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    defaults = CutModel()
    parser = _Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", type=Path, help="an elementary .h264 stream, or any video (encoded first)")
    parser.add_argument("output", type=Path, help="the damaged stream, .h264")
    parser.add_argument("--branch", help=f"a published branch of BSCV: {', '.join(BRANCHES)}")
    parser.add_argument("--slices", type=int, help=f"P: slices cut in each GOP (default {defaults.slices_per_gop})")
    parser.add_argument("--position", type=float, help=f"L: place of the cut, 0..1 (default {defaults.position})")
    parser.add_argument("--length", type=int, help=f"S: bytes cut out (default {defaults.length})")
    parser.add_argument("--legacy-nibbles", action="store_true", help="--length counts hexadecimal digits, two a byte")
    parser.add_argument("--gop", type=int, default=defaults.gop, help=f"pictures of a GOP (default {defaults.gop})")
    parser.add_argument("--seed", type=int, default=0, help="of the draw of the slices (default 0)")
    parser.add_argument("--crf", type=float, default=23, help="quality when encoding (default 23)")
    parser.add_argument("--size", type=_size, help="WxH to scale to when encoding")
    parser.add_argument("--clean", type=Path, help="also keep the undamaged stream here")
    parser.add_argument("--manifest", type=Path, help="what was cut, as JSON (default: OUTPUT.json)")
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    return parser.parse_args(argv)


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) > 1 and int(height) > 1):
        raise argparse.ArgumentTypeError(f"{text!r} is no size like 854x480")
    return int(width), int(height)


def _model(args: argparse.Namespace) -> CutModel:
    """Return the damage asked for; ValueError or _UsageError when it makes no sense."""
    wished = {
        name: value
        for name, value in (("slices_per_gop", args.slices), ("position", args.position), ("length", args.length))
        if value is not None
    }
    if args.branch and (wished or args.legacy_nibbles):
        raise _UsageError("--branch says it all: leave out --slices, --position, --length and --legacy-nibbles")
    model = branch(args.branch) if args.branch else CutModel(**wished, legacy_nibbles=args.legacy_nibbles)
    return replace(model, gop=args.gop, seed=args.seed).validate()


def _check_outputs(args: argparse.Namespace, manifest: Path) -> None:
    outputs = [path for path in (args.output, manifest, args.clean) if path]
    if args.input.resolve() in {path.resolve() for path in outputs}:
        raise _UsageError(f"{args.input}: an output would replace the input")
    if len({path.resolve() for path in outputs}) < len(outputs):
        raise _UsageError("two outputs have the same name")
    existing = [str(path) for path in outputs if path.exists()]
    if existing and not args.overwrite:
        raise _UsageError(f"{existing[0]} exists; --overwrite replaces it")


def _clean_stream(args: argparse.Namespace) -> bytes:
    if not args.input.is_file():
        raise InputError(f"{args.input}: no such file")
    if args.input.suffix.lower() in _ELEMENTARY:
        return args.input.read_bytes()
    return encode_video(args.input, args.size, args.crf, args.gop)


def _manifest(args: argparse.Namespace, model: CutModel, cuts: list[Cut], clean: bytes, damaged: bytes) -> bytes:
    encoded = args.input.suffix.lower() not in _ELEMENTARY
    content = {
        "input": args.input.name,
        "encoded": {"crf": args.crf, "gop": args.gop, "size": args.size} if encoded else None,
        "branch": args.branch,
        "model": model.as_dict(),
        "clean_sha256": hashlib.sha256(clean).hexdigest(),
        "damaged_sha256": hashlib.sha256(damaged).hexdigest(),
        "cuts": [asdict(cut) for cut in cuts],
    }
    return (json.dumps(content, indent=2) + "\n").encode()


def _write(path: Path, content: bytes) -> None:
    """Write a file in one piece: a reader finds the whole file or none."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _complain(error: Exception, code: int) -> int:
    print(f"damage: {' '.join(str(error).split())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
