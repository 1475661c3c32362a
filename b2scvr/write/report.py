"""The report: one HTML file that needs no network, with the damaged, masked and repaired pictures scrubbed through time."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np

from b2scvr.types import PictureType
from b2scvr.write.overlay import overlay_mask

BUDGET_BYTES = 12_000_000  # of embedded pictures; a browser opens it at once, a mail carries it
SETTINGS = ((640, 82), (480, 76), (320, 70))  # widest picture in pixels and JPEG quality, best first
SAMPLED = 8  # pictures from which the size of the whole is told
TYPE_NAMES = {PictureType.I: "I", PictureType.P: "P", PictureType.B: "B"}


@dataclass
class Report:
    """What the report shows. T pictures in display order."""

    title: str
    subtitle: str
    decoded: np.ndarray  # uint8 [T, H, W, 3]
    recovered: np.ndarray | None  # uint8 [T, H, W, 3]; None when only the damage was looked for
    masks: np.ndarray  # uint8 [T, H, W]
    status: np.ndarray  # uint8 [T] of AccessUnitStatus
    picture_type: np.ndarray  # uint8 [T] of PictureType
    fps: float
    restored: tuple[int, ...] = ()  # display indices
    facts: list[tuple[str, str, str]] = field(default_factory=list)  # name, value, remark
    notes: tuple[str, ...] = ()
    psnr: dict[str, list[float]] | None = None  # dB of each picture: "decoded", "recovered"


def write_report(path: Path, report: Report, budget_bytes: int = BUDGET_BYTES) -> None:
    """Write the report to `path`. Pictures are made smaller, then left out evenly, until they fit into `budget_bytes`."""
    shown, width, quality = _choose(report, budget_bytes)
    images = _Images(width, quality)
    pictures = [[images.add(view) for view in _views(report, index)] for index in shown]
    masked = [round(float(np.count_nonzero(mask) / mask.size), 4) for mask in report.masks]
    data = {
        "images": images.encoded,
        "pictures": pictures,
        "shown": shown,
        "status": report.status.tolist(),
        "types": [TYPE_NAMES.get(PictureType(int(kind)), "?") for kind in report.picture_type],
        "masked": masked,
        "restored": list(report.restored),
        "repaired": report.recovered is not None,
        "fps": report.fps if report.fps > 0 else 25.0,
        "psnr": report.psnr,
        "first": int(np.argmax(masked)),  # opens at the worst picture
    }
    notes = list(report.notes)
    if len(shown) < len(report.decoded):
        notes.append(f"{len(shown)} of {len(report.decoded)} pictures are shown here; frames/ has them all.")
    page = files("b2scvr.write").joinpath("report_page.html").read_text("utf-8")
    for mark, text in {
        "TITLE": html.escape(report.title),
        "SUBTITLE": html.escape(report.subtitle),
        "FACTS": "".join(_fact(*fact) for fact in report.facts),
        "NOTES": "".join(f"<li>{html.escape(note)}</li>" for note in notes),
        "DATA": json.dumps(data, separators=(",", ":")).replace("</", "<\\/"),
    }.items():
        page = page.replace(f"@@{mark}@@", text)
    path.write_text(page, "utf-8")


class _Images:
    """JPEG pictures in base64; a picture that was added before is kept once."""

    def __init__(self, width: int, quality: int) -> None:
        self.width, self.quality = width, quality
        self.encoded: list[str] = []
        self._known: dict[bytes, int] = {}

    def add(self, picture: np.ndarray) -> int:
        jpeg = _jpeg(picture, self.width, self.quality)
        if jpeg not in self._known:
            self._known[jpeg] = len(self.encoded)
            self.encoded.append(base64.b64encode(jpeg).decode("ascii"))
        return self._known[jpeg]


def _choose(report: Report, budget_bytes: int) -> tuple[list[int], int, int]:
    """Return the pictures to show, their width and their JPEG quality: the best setting that fits the budget."""
    total = len(report.decoded)
    sample = np.unique(np.linspace(0, total - 1, min(total, SAMPLED)).astype(int))
    for width, quality in SETTINGS:
        images = _Images(width, quality)
        for index in sample:
            for view in _views(report, int(index)):
                images.add(view)
        needed = sum(map(len, images.encoded)) / len(sample) * total
        if needed <= budget_bytes:
            return list(range(total)), width, quality
    kept = max(1, int(total * budget_bytes / needed))
    return sorted({int(i) for i in np.linspace(0, total - 1, kept)}), width, quality


def _views(report: Report, index: int) -> Iterator[np.ndarray]:
    decoded = report.decoded[index]
    yield decoded
    yield overlay_mask(decoded, report.masks[index])
    yield decoded if report.recovered is None else report.recovered[index]


def _jpeg(picture: np.ndarray, width: int, quality: int) -> bytes:
    if picture.shape[1] > width:
        height = max(1, round(picture.shape[0] * width / picture.shape[1]))
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    done, encoded = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise OSError("a picture of the report could not be encoded as JPEG")
    return encoded.tobytes()


def _fact(name: str, value: str, remark: str) -> str:
    small = f"<small>{html.escape(remark)}</small>" if remark else ""
    return f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}{small}</dd></div>"
