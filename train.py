#!/usr/bin/env python
"""Train the networks of a config on a folder of samples (made by tools/make_pairs.py), or on clean footage.

    python train.py configs/b2scvr_tiny.py --data cache/train --resume auto
    python train.py configs/b2scvr_tiny.py --footage footage/train --resume auto

The weights go to WORK_DIR/weights.safetensors; nothing outside the work folder is touched without --publish.
Several processes: the same under `torchrun` or `accelerate launch` (docs/training.md).
"""

from __future__ import annotations

import argparse
import logging
import sys


def main(argv: list[str] | None = None) -> int:
    """Train; return the exit code.

    0 done or out of time; 1 stopped by the machine (disk full, a worker died) or because the loss is no number any more;
    2 a config or option that makes no sense; 3 unusable data.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="a config with the keys dac, cfc, train, stages")
    parser.add_argument("--work-dir", help="folder of checkpoints and logs (default: the config's train.work_dir)")
    parser.add_argument("--resume", metavar="auto|PATH", help="go on from the last checkpoint, or from this one")
    parser.add_argument("--stage", choices=("detect", "recover"), help="only this stage (default: all of the config)")
    parser.add_argument(
        "--data", action="append", metavar="DIR", help="folder of samples; may be given again (default: train.data)"
    )
    parser.add_argument(
        "--footage", metavar="DIR", help="make samples of these clean clips while training, without end"
    )
    parser.add_argument(
        "--publish", action="store_true", help="when all is trained, write the weights to the config's train.export too"
    )
    parser.add_argument("--device", choices=("auto", "cpu"), default="auto")
    parser.add_argument(
        "--cfg-options", nargs="+", metavar="KEY=VALUE", help="change the config: stages.recover.lr=1e-4"
    )
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")

    from b2scvr.config import load_config
    from b2scvr.engine.trainer import TrainingStoppedError
    from b2scvr.engine.training import train
    from b2scvr.types import InputError

    try:
        config = load_config(args.config, args.cfg_options)
        train(config, args.work_dir, args.resume, args.stage, args.data, args.device, args.publish, args.footage)
    except (ValueError, FileNotFoundError) as error:
        print(f"train: {error}", file=sys.stderr)
        return 2
    except InputError as error:
        print(f"train: {error}", file=sys.stderr)
        return 3
    except (OSError, TrainingStoppedError) as error:
        print(
            f"train: {error}; earlier checkpoints are as they were: --resume auto goes on from the last",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
