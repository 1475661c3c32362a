#!/usr/bin/env python
"""Turn a published checkpoint into weights for this package (.safetensors), and report how it fits.

    python tools/convert_checkpoint.py B2SCVR.pth
    python tools/convert_checkpoint.py checkpoint.pt --output checkpoints/published.safetensors

Takes the recovery generators of B2SCVR (configs/cfc/official.py), BSCVR-P (configs/cfc/bscvr_p.py) and E2FGVI-HQ
(configs/cfc/e2fgvi_hq.py), their discriminators, and B2SCVR's detector (configs/dac/official.py); which one it is, the
names of the weights tell. Nothing in the file is run. Weights of other networks already in the output stay there.
Exit code: 0 all of it fits and is written; 2 wrong use; 3 the file can't be used, and nothing is written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # works without an installed package too

import torch
from torch import nn

from b2scvr.checkpoints.convert import convert, reinitialised, unwrap
from b2scvr.checkpoints.detector_keys import DETECTOR
from b2scvr.checkpoints.generator_keys import DISCRIMINATOR, GENERATORS, recognise
from b2scvr.checkpoints.keys import KeyMap
from b2scvr.checkpoints.known import sha256_of
from b2scvr.checkpoints.load import read_weights, save_weights
from b2scvr.config import load_config
from b2scvr.layers.temporal_gan import TemporalPatchDiscriminator
from b2scvr.registry import MODELS

ROOT = Path(__file__).resolve().parents[1]


class Kind(NamedTuple):
    """A published network: what it is called in a file of ours, its names, and how ours is built."""

    part: str  # "cfc", "dac" or "discriminator"
    keys: KeyMap
    build: Callable[[], nn.Module]
    output: str


def from_config(config: str, part: str) -> Callable[[], nn.Module]:
    """Return what builds `part` of a config of the repository."""
    return lambda: MODELS.build(load_config(ROOT / "configs" / config)[part])


KINDS = {
    "b2scvr": Kind("cfc", GENERATORS["b2scvr"], from_config("cfc/official.py", "cfc"), "published_b2scvr"),
    "bscvr-p": Kind("cfc", GENERATORS["bscvr-p"], from_config("cfc/bscvr_p.py", "cfc"), "published_bscvr-p"),
    "e2fgvi-hq": Kind("cfc", GENERATORS["e2fgvi-hq"], from_config("cfc/e2fgvi_hq.py", "cfc"), "published_e2fgvi-hq"),
    "discriminator": Kind("discriminator", DISCRIMINATOR, TemporalPatchDiscriminator, "published_discriminator"),
    "detector": Kind("dac", DETECTOR, from_config("dac/official.py", "dac"), "published_detector"),
}


class UnusableCheckpointError(ValueError):
    """A file that holds no network known here, or another one than was asked for."""


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="published file (.pth, .pt)")
    parser.add_argument("--kind", choices=KINDS, help="what it must be (default: as its names tell)")
    parser.add_argument("--output", type=Path, help="file to write (default: checkpoints/published_....safetensors)")
    return parser.parse_args(argv)


def kind_of(path: Path, names: list[str], wanted: str | None) -> str:
    """Return which network the file holds; UnusableCheckpointError when it is none of ours or not the one wanted."""
    found = recognise(names)
    if found == "bscvr-s":
        raise UnusableCheckpointError(
            f"{path}: BSCVR-S, which cannot be built: of its refinement module (feat_refine_module) the names and shapes of "
            "the weights are known, not what it computes; BSCVR-P can be converted (configs/cfc/bscvr_p.py)"
        )
    if found is None:
        first = ", ".join(sorted({name.partition(".")[0] for name in names})[:8])
        raise UnusableCheckpointError(f"{path}: its weights ({first}) are of none of {', '.join(KINDS)}")
    if wanted is not None and wanted != found:
        raise UnusableCheckpointError(f"{path}: holds the weights of {found}, not of {wanted}")
    return found


def main(argv: list[str] | None = None) -> int:
    """Convert; return the exit code."""
    args = parse(argv)
    try:
        published = unwrap(read_weights(args.checkpoint))
        name = kind_of(args.checkpoint, list(published), args.kind)
    except (ValueError, FileNotFoundError) as error:
        print(f"convert_checkpoint: {error}", file=sys.stderr)
        return 3
    kind = KINDS[name]
    with torch.device("meta"):
        expected = kind.build().state_dict()
    weights, report = convert(published, kind.keys, expected)
    print(f"{args.checkpoint}: {name}\n{report.text()}")
    if not report.fits:
        print(f"convert_checkpoint: {args.checkpoint}: does not fit {name}; nothing is written", file=sys.stderr)
        return 3
    for backbone in ("trunk", "embedder"):
        if reinitialised(weights, backbone):
            print(f"note: the weights of {backbone} were never trained (deviation 0.02, biases zero); they are kept")
    output = args.output or ROOT / "checkpoints" / f"{kind.output}.safetensors"
    source = {f"{kind.part}_source": args.checkpoint.name, f"{kind.part}_source_sha256": sha256_of(args.checkpoint)}
    save_weights(output, {kind.part: weights}, {f"{kind.part}_kind": name, **source})
    print(f"written: {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
