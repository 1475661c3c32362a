#!/usr/bin/env python
"""Damage a video's H.264 stream: cuts as in BSCV, bit errors, lost packets, bad sectors, an early end, one or several.

    python tools/damage.py clip.h264 clip_2.h264 --branch 144096 --seed 0
    python tools/damage.py clip.mp4 clip_2.h264 --clean clip.h264 --size 854x480 --slices 2 --position 0.2 --length 1024
    python tools/damage.py clip.h264 clip_2.h264 --model rtp:rate=0.01,protect=sets --model ge:p=1e-6,r=1e-3
    python tools/damage.py clip.h264 clip_2.h264 --replay clip_2.h264.json

Models for --model, applied in the order given, NAME:KEY=VALUE,... with a seed of its own each unless `seed=` is given:

    bscv      P, L, S (bytes), gop; legacy_nibbles=1 cuts where the published generator does, S in hexadecimal digits
    144096... a published branch by name, S=4096 being digits: 2048 bytes
    ber, ge   bit errors: rate=, or in bursts p=,r=[,good=0,bad=0.5] (Gilbert-Elliott)
    rtp       lost RTP packets: rate=, or p=,r=[,good=0,bad=1]; mtu=1500, incomplete=prefix|drop|join
    ts        lost packets of an MPEG transport stream: rate=, or p=,r=
    sectors   overwritten sectors: rate=, or p=,r=; size=4096, fill=zeros|random
    truncate  an early end: fraction= or byte=

`protect=sets+idr+headers` spares parameter sets, the first IDR picture, slice headers, or some of these, from errors.
A video that is no elementary .h264 stream is encoded first, with x264. What was changed is written
as JSON, beside the output or to --manifest; it can be read back with --spec (the same models) and --replay (the same bytes).
Exit code 0 done, 2 wrong arguments or an output that exists, 3 an input that cannot be used or an output not written.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # works without an installed package too

from b2scvr.bitstream.damage import BRANCHES, CutModel, DamageModel, damage_all, damage_manifest, parse_models, replay
from b2scvr.bitstream.encode import encode_video
from b2scvr.types import InputError

_ELEMENTARY = {".h264", ".264", ".avc"}
_USAGE, _UNUSABLE = 2, 3
_SHORTHAND = ("slices", "position", "length", "legacy_nibbles")


class _UsageError(Exception):
    pass


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _UsageError(message)


def main(argv: list[str] | None = None) -> int:
    """Damage one video; return the exit code."""
    try:
        args = _arguments(argv)
        models = _models(args)
        recorded = _read_json(args.replay) if args.replay else None
        manifest_path = args.manifest or args.output.with_name(args.output.name + ".json")
        _check_outputs(args, manifest_path)
    except (_UsageError, ValueError) as error:
        return _complain(error, _USAGE)
    try:
        clean = _clean_stream(args)
        damaged, manifest = (replay(clean, recorded), recorded) if args.replay else _damage(args, clean, models)
        if args.clean:
            _write(args.clean, clean)
        _write(args.output, damaged)
        _write(manifest_path, (json.dumps(manifest, indent=2) + "\n").encode())
    except (InputError, OSError, ValueError) as error:
        return _complain(error, _UNUSABLE)
    count = sum(len(entry["changes"]) for entry in manifest["models"])
    print(f"{args.output}: {count} change{'s' * (count != 1)}, {len(clean)} -> {len(damaged)} bytes")
    return 0


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    defaults = CutModel()
    parser = _Parser(prog="damage", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", type=Path, help="elementary stream (.h264), or any video, which is encoded first")
    parser.add_argument("output", type=Path, help="the damaged stream (.h264)")
    parser.add_argument("--branch", help=f"a published branch of BSCV: {', '.join(BRANCHES)}")
    parser.add_argument("--model", action="append", metavar="NAME:KEY=VALUE,...", help="a damage model; repeatable")
    parser.add_argument("--spec", type=Path, help="JSON file with the models: a list of them, or a manifest")
    parser.add_argument("--replay", type=Path, metavar="MANIFEST", help="make the changes of a manifest again")
    parser.add_argument("--slices", type=int, help=f"P: slices cut in each GOP (default {defaults.slices_per_gop})")
    parser.add_argument("--position", type=float, help=f"L: place of the cut, 0..1 (default {defaults.position})")
    parser.add_argument("--length", type=int, help=f"S: bytes cut out (default {defaults.length})")
    parser.add_argument(
        "--legacy-nibbles", action="store_true", help="cut as the published generator does; --length counts digits"
    )
    parser.add_argument("--gop", type=int, default=defaults.gop, help=f"pictures of a GOP (default {defaults.gop})")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn (default 0)")
    parser.add_argument("--crf", type=float, default=23, help="quality when encoding (default 23)")
    parser.add_argument("--size", type=_size, help="WxH to scale to when encoding")
    parser.add_argument("--clean", type=Path, help="also keep the undamaged stream here")
    parser.add_argument("--manifest", type=Path, help="what was changed, as JSON (default: OUTPUT.json)")
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    return parser.parse_args(argv)


def _models(args: argparse.Namespace) -> list[DamageModel]:
    """Return the damage asked for; ValueError or _UsageError when it makes no sense."""
    shorthand = [f"--{name.replace('_', '-')}" for name in _SHORTHAND if getattr(args, name) not in (None, False)]
    ways = [way for way in ("replay", "branch", "model", "spec") if getattr(args, way)]
    if len(ways) > 1 or (ways and shorthand):
        others = ", ".join([f"--{way}" for way in ways[1:]] + shorthand)
        raise _UsageError(f"--{ways[0]} says it all: leave out {others}")
    specs = args.model or ([args.branch] if args.branch else None)
    if args.spec:
        content = _read_json(args.spec)
        specs = content.get("models") if isinstance(content, dict) else content
        if not isinstance(specs, list):
            raise _UsageError(f"{args.spec}: neither a list of models nor a manifest")
    if specs is None:
        names = {"slices": "P", "position": "L", "length": "S"}
        given = {short: getattr(args, name) for name, short in names.items() if getattr(args, name) is not None}
        specs = [{"model": "bscv", "parameters": given | {"legacy_nibbles": args.legacy_nibbles}}]
    return parse_models(specs, args.seed, {"gop": args.gop})


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise _UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise _UsageError(f"{path}: no JSON ({error})") from error


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) > 1 and int(height) > 1):
        raise argparse.ArgumentTypeError(f"{text!r} is no size like 854x480")
    return int(width), int(height)


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


def _damage(args: argparse.Namespace, clean: bytes, models: list[DamageModel]) -> tuple[bytes, dict[str, Any]]:
    """Return the damaged stream and its manifest."""
    damaged, applied = damage_all(clean, models)
    encoded = args.input.suffix.lower() not in _ELEMENTARY
    about = {
        "input": args.input.name,
        "encoded": {"crf": args.crf, "gop": args.gop, "size": args.size} if encoded else None,
        "branch": args.branch,
    }
    return damaged, about | damage_manifest(clean, damaged, applied)


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
