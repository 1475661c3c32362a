#!/usr/bin/env python
"""Fit what a detector's numbers mean on validation samples, and keep it in the header of its weights.

    python tools/calibrate.py configs/b2scvr_tiny.py --data cache/val

Samples are made by tools/make_pairs.py, of clips that were not trained on. The weights themselves stay as they are; recovery
and evaluation apply the calibration that they find beside them. Exit code 0 done; 2 wrong use; 3 unusable samples.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # works without an installed package too

import torch

from b2scvr.checkpoints.load import load_weights, read_metadata, read_weights, save_weights, strip_prefix
from b2scvr.config import load_config
from b2scvr.dac import Detector
from b2scvr.data.dataset import PairDataset, View
from b2scvr.engine.calibrate import calibrate
from b2scvr.engine.progress import CountProgress
from b2scvr.metrics.summary import markdown_table
from b2scvr.ops.compute import pick_device
from b2scvr.pipeline import ROOT
from b2scvr.registry import MODELS
from b2scvr.types import InputError


def main(argv: list[str] | None = None) -> int:
    """Calibrate; return the exit code."""
    args = _arguments(argv)
    try:
        config = load_config(args.config)
        checkpoint = args.checkpoint or ROOT / config["checkpoint"]
        network = MODELS.build(config["dac"])
        if not isinstance(network, Detector):
            raise ValueError(f"{args.config}: dac={config['dac']['type']} has no numbers that can be calibrated")
        load_weights(checkpoint, {"dac": network})
        view = View(broken_only=False, max_pixels=args.max_pixels)
        data = PairDataset(args.data, view)
        with CountProgress("samples") as progress:
            found, before, after = calibrate(network.to(pick_device(args.device)), data, args.samples, progress)
        output = args.output or checkpoint
        # Of another file all weights go along; those of this one stay in it.
        weights = {} if output == checkpoint else _parts(checkpoint)
        save_weights(output, weights, {**_notes(checkpoint), **found.to_metadata()})
    except (InputError, OSError) as error:
        print(f"calibrate: {error}", file=sys.stderr)
        return 2 if isinstance(error, FileNotFoundError) else 3
    except ValueError as error:
        print(f"calibrate: {error}", file=sys.stderr)
        return 2
    rows = [
        {"": name, **{k: f"{v:.4f}" for k, v in asdict(q).items()}}
        for name, q in (("before", before), ("after", after))
    ]
    print(markdown_table(rows))
    print("\n".join(f"{name} {value:.4f}" for name, value in asdict(found).items()))
    return 0


def _notes(checkpoint: Path) -> dict[str, str]:
    return read_metadata(checkpoint) if checkpoint.suffix == ".safetensors" else {}


def _parts(checkpoint: Path) -> dict[str, dict[str, torch.Tensor]]:
    weights = read_weights(checkpoint)
    return {name: strip_prefix(weights, name) for name in {key.partition(".")[0] for key in weights}}


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("--data", type=Path, required=True, help="folder of validation samples")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="weights instead of the config's own")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="write to this copy instead of the weights' own file"
    )
    parser.add_argument("--samples", type=int, metavar="N", help="so many of them, evenly spread (default: all)")
    parser.add_argument("--max-pixels", type=int, metavar="N", help="leave larger pictures out")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda[:N]")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
