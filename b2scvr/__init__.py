"""Blind recovery of video whose bitstream was damaged.

`read` tells what a damaged stream holds, `recover` repairs it. Importing the package loads neither torch nor a codec.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from b2scvr.bitstream.reader import CodedClip
    from b2scvr.types import ParsedClip, RecoveredClip

__version__ = "0.1.0"
__all__ = ["DEFAULT_CONFIG", "__version__", "read", "recover"]

DEFAULT_CONFIG = Path(__file__).resolve().parents[1] / "configs" / "b2scvr_tiny.py"


def read(path: str | Path) -> ParsedClip:
    """Return the decoded clip at `path` and all that its bitstream says about its damage.

    Raises b2scvr.types.InputError, a one-line message, when it cannot be read.
    """
    from b2scvr.bitstream import reader

    return reader.read(path)


def recover(
    path_or_clip: str | Path | CodedClip | ParsedClip,
    config: str | Path = DEFAULT_CONFIG,
    checkpoint: str | Path | None = None,
    device: str = "auto",
) -> RecoveredClip:
    """Return the recovered clip: frames uint8 [T, H, W, 3], masks uint8 [T, H, W], the repaired stream where possible.

    A path, or the result of `b2scvr.bitstream.reader.read_coded`, is repaired in the bitstream; a `ParsedClip` has no
    bitstream and is recovered picture by picture. `checkpoint` None takes the config's own. `device` is "auto", "cpu"
    or "cuda[:N]". Raises b2scvr.types.InputError for an input that cannot be read, FileNotFoundError for a missing
    config or checkpoint.
    """
    import dataclasses

    from b2scvr.bitstream.reader import CodedClip, read_coded
    from b2scvr.pipeline import Recoverer
    from b2scvr.types import ParsedClip

    if isinstance(path_or_clip, ParsedClip):
        recoverer = Recoverer(config, checkpoint=checkpoint, device=device, mode="frames")
        recovered = recoverer.recover(CodedClip(path_or_clip, access_units=[]))
        return dataclasses.replace(recovered, repaired=None)  # there was no stream to repair
    coded = read_coded(path_or_clip) if isinstance(path_or_clip, str | Path) else path_or_clip
    return Recoverer(config, checkpoint=checkpoint, device=device).recover(coded)
