"""What a data set is made with: the same settings, seed and versions give the same bytes."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from b2scvr import __version__
from b2scvr.bitstream.video import codec_versions
from b2scvr.data.bscv.layout import SETTINGS
from b2scvr.data.cache import write_json
from b2scvr.ops.masks import CLOSING_PX, DIFFERENCE_LEVELS
from b2scvr.types import PARSER_VERSION, InputError

LAYOUT_VERSION = 1  # raised whenever the same settings would give other files
PICTURE_FORMATS = ("jpg", "png")
MASK_DEFINITION = {
    "difference": f"some RGB channel of the decoded pictures differs by more than {DIFFERENCE_LEVELS} of 255",
    "threshold": DIFFERENCE_LEVELS,
    "closing_px": CLOSING_PX,
    "mask": f"morphological closing of the difference with a square of {CLOSING_PX} pixels",
}


@dataclass(frozen=True)
class BuildSettings:
    """All that decides what is in the files, but for the footage, the branches and the versions."""

    seed: int = 0
    size: str | None = None  # "432x240", "240p", or None for each clip's own
    crf: float = 23
    gop: int = 16
    fps: float = 25.0  # of clips that are folders of pictures
    pictures: str = "jpg"  # or "png", which is lossless
    jpeg_quality: int = 95  # of 100
    zips: bool = False  # a zip a clip instead of a folder, for all but the masks
    parses: bool = True
    layout: int = LAYOUT_VERSION

    def validate(self) -> BuildSettings:
        """Return self; raise ValueError naming the setting that makes no sense."""
        if self.pictures not in PICTURE_FORMATS:
            raise ValueError(f"pictures {self.pictures!r} must be one of {', '.join(PICTURE_FORMATS)}")
        if not 1 <= self.jpeg_quality <= 100:
            raise ValueError(f"jpeg_quality {self.jpeg_quality} must lie in 1..100")
        if self.gop < 1 or self.fps <= 0 or not 0 <= self.crf <= 51:
            raise ValueError(f"gop {self.gop} must be >= 1, fps {self.fps} > 0 and crf {self.crf} in 0..51")
        return self


def clip_seed(seed: int, clip: str) -> int:
    """Return the seed of the damage of `clip`: the same in every branch, so that branches differ by P, L and S alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{clip}".encode()).digest()[:4])


def agree_on_settings(root: Path, settings: BuildSettings) -> None:
    """Write `settings` into the data set `root`, or compare with what lies there; InputError when it is another."""
    path = root / SETTINGS
    if not path.is_file():
        write_json(path, asdict(settings))
        return
    found, asked = _content(path), asdict(settings)
    if found != asked:
        differing = [
            f"{k} {found.get(k)!r} there, {asked.get(k)!r} now" for k in found | asked if found.get(k) != asked.get(k)
        ]
        raise InputError(f"{root} was built with other settings ({'; '.join(differing)}): choose another folder")


def read_settings(root: Path) -> BuildSettings:
    """Return the settings of the data set `root`; InputError when there is none that this code reads."""
    found = _content(root / SETTINGS)
    if found.get("layout") != LAYOUT_VERSION:
        raise InputError(f"{root}: layout version {found.get('layout')}, this code reads {LAYOUT_VERSION}")
    return BuildSettings(**found)


def versions() -> dict[str, str | int]:
    """Return the versions that decide what bytes come out."""
    own: dict[str, str | int] = {"b2scvr": __version__, "parser": PARSER_VERSION, "python": platform.python_version()}
    return own | {"numpy": np.__version__, "opencv": cv2.__version__} | codec_versions()


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path.parent}: not a data set of tools/build_bscv.py ({error})") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: not the settings of a data set")
    return content
