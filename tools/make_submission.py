#!/usr/bin/env python
"""Pack recovered clips as a submission to NTIRE's challenge on bitstream-corrupted video: PNG at native size, readme.txt.

    python test.py TEST_SET/BSC_h264 --masks TEST_SET/masks --output results
    python tools/make_submission.py TEST_SET results submission.zip --device gpu --extra-data no

TEST_SET is what was given: a branch in BSCV's layout, a folder with one of pictures for each clip, or a folder of streams.
Every given picture must have one result of its size, under its name or counted from 00000.png; else nothing is written and
all that is wrong is told. The zip holds <clip>/<picture>.png and readme.txt. The runtime is what test.py measured, from file
to pictures, without loading the models, unless --runtime states it. The challenge's own page has the last word on names.
Exit code 0 done; 2 wrong use; 3 results that do not fit, or a zip that could not be written.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # works without an installed package too

from b2scvr import __version__
from b2scvr.engine.submission import Statement, list_given, match, measured_runtime, write_submission
from b2scvr.types import InputError

MOST_PROBLEMS = 20  # that are told


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    it = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    it.add_argument("test_set", type=Path, help="what the challenge gave")
    it.add_argument("results", type=Path, help="what test.py --output wrote, or a folder of PNG files for each clip")
    it.add_argument("submission", type=Path, help="the zip to write")
    it.add_argument("--device", choices=("cpu", "gpu"), required=True, help="where the runtime was measured")
    it.add_argument(
        "--extra-data", choices=("yes", "no"), required=True, help="whether other data than the challenge's was used"
    )
    it.add_argument("--runtime", type=float, metavar="S", help="seconds a frame (default: from results/*/metrics.json)")
    it.add_argument("--description", default=f"b2scvr {__version__}", help="a line about the method")
    it.add_argument("--overwrite", action="store_true", help="replace a zip that exists")
    return it


def main(argv: list[str] | None = None) -> int:
    """Check and pack; return the exit code."""
    args = parser().parse_args(argv)
    if args.submission.suffix != ".zip":
        return _complain(f"{args.submission}: a submission is a .zip", 2)
    if args.submission.exists() and not args.overwrite:
        return _complain(f"{args.submission} exists; --overwrite replaces it", 2)
    if args.runtime is not None and not args.runtime > 0:
        return _complain(f"--runtime {args.runtime}: seconds a frame are more than 0", 2)
    try:
        given = list_given(args.test_set)
        members, problems = match(given, args.results)
        for problem in problems[:MOST_PROBLEMS]:
            _complain(problem, 3)
        if problems:
            return _complain(f"{len(problems)} things are wrong, nothing was written", 3)
        runtime = measured_runtime(given, args.results) if args.runtime is None else args.runtime
        description = " ".join(args.description.split())
        statement = Statement(runtime, args.device == "gpu", args.extra_data == "yes", description)
        write_submission(args.submission, members, statement)
    except (InputError, OSError) as error:
        return _complain(str(error), 3)
    size = args.submission.stat().st_size / 1e6
    print(f"{args.submission}: {len(given)} clips, {len(members)} pictures, {size:.1f} MB\n{statement.text()}", end="")
    return 0


def _complain(message: str, code: int) -> int:
    print(f"make_submission: {' '.join(message.split())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
