"""The report: one HTML file that needs no network, with the damaged, masked and repaired pictures scrubbed through time."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
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
    """What the report shows of a clip of T pictures, in display order, beside the pictures themselves (`Filmstrip`)."""

    title: str
    subtitle: str
    status: np.ndarray  # uint8 [T] of AccessUnitStatus
    picture_type: np.ndarray  # uint8 [T] of PictureType
    fps: float
    restored: tuple[int, ...] = ()  # display indices
    facts: list[tuple[str, str, str]] = field(default_factory=list)  # name, value, remark
    notes: tuple[str, ...] = ()
    psnr: dict[str, list[float]] | None = None  # dB of each picture: "decoded", "recovered"


class Filmstrip:
    """The pictures of a report as JPEG, taken up as they come.

    Pictures are made smaller, then left out, until they fit into `budget_bytes`: of each lot that is added as large a share
    as of all `total` pictures would fit, damaged ones before others, evenly.
    """

    def __init__(self, total: int, budget_bytes: int = BUDGET_BYTES) -> None:
        self.total, self.budget_bytes = total, budget_bytes
        self.shown: list[int] = []  # display indices
        self.pictures: list[list[int]] = []  # of each that is shown: damaged, mask, repaired, as places in `images`
        self.images: list[str] = []  # JPEG in base64; what is the same is kept once
        self.masked: list[float] = []  # of all pictures, the marked share
        self.repaired = False  # whether pictures were repaired at all
        self._width, self._quality, self._share = 0, 0, 0.0
        self._known: dict[bytes, int] = {}

    def add(self, decoded: np.ndarray, recovered: np.ndarray | None, masks: np.ndarray, damaged: np.ndarray) -> None:
        """Take up the next pictures.

        decoded: uint8 [N, H, W, 3]; recovered: the same, None when only the damage was looked for; masks: uint8 [N, H, W];
        damaged: bool [N].
        """
        views = partial(_views, decoded, recovered, masks)
        if not self._share:
            self._choose(len(decoded), views)
        count = max(1, int(self._share * len(decoded)))
        for index in _evenly(damaged, count):
            self.shown.append(len(self.masked) + index)
            self.pictures.append([self._place(view) for view in views(index)])
        self.masked += [round(float(np.count_nonzero(mask) / mask.size), 4) for mask in masks]
        self.repaired |= recovered is not None

    def _choose(self, count: int, views: Callable[[int], Iterable[np.ndarray]]) -> None:
        """Settle size, quality and share by some of the first `count` pictures: the best setting that fits the budget."""
        sample = np.unique(np.linspace(0, count - 1, min(count, SAMPLED)).astype(int))
        for self._width, self._quality in SETTINGS:
            distinct = {_jpeg(view, self._width, self._quality) for index in sample for view in views(int(index))}
            needed = sum(len(base64.b64encode(jpeg)) for jpeg in distinct) / len(sample) * self.total
            self._share = min(1.0, self.budget_bytes / needed)
            if self._share == 1:
                break

    def _place(self, picture: np.ndarray) -> int:
        jpeg = _jpeg(picture, self._width, self._quality)
        if jpeg not in self._known:
            self._known[jpeg] = len(self.images)
            self.images.append(base64.b64encode(jpeg).decode("ascii"))
        return self._known[jpeg]


def write_report(path: Path, report: Report, film: Filmstrip) -> None:
    """Write the report to `path`."""
    data = {
        "images": film.images,
        "pictures": film.pictures,
        "shown": film.shown,
        "status": report.status.tolist(),
        "types": [TYPE_NAMES.get(PictureType(int(kind)), "?") for kind in report.picture_type],
        "masked": film.masked,
        "restored": list(report.restored),
        "repaired": film.repaired,
        "fps": report.fps if report.fps > 0 else 25.0,
        "psnr": report.psnr,
        "first": int(np.argmax(film.masked)),  # opens at the worst picture
    }
    notes = list(report.notes)
    if len(film.shown) < film.total:
        notes.append(f"{len(film.shown)} of {film.total} pictures are shown here; frames/ has them all.")
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


def _evenly(preferred: np.ndarray, count: int) -> list[int]:
    """Return `count` places of bool [N], or all: those that are True first, both kinds evenly."""
    chosen: list[int] = []
    for places in (np.flatnonzero(preferred), np.flatnonzero(~preferred)):
        wanted = min(len(places), count - len(chosen))
        chosen += places[np.linspace(0, len(places) - 1, wanted).astype(int)].tolist()
    return sorted(chosen)


def _views(decoded: np.ndarray, recovered: np.ndarray | None, masks: np.ndarray, index: int) -> Iterator[np.ndarray]:
    yield decoded[index]
    yield overlay_mask(decoded[index], masks[index])
    yield decoded[index] if recovered is None else recovered[index]


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
