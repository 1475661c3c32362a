"""Detection judged on damaged twins of clean clips: every damaged picture is shown to every detector."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol as TypingProtocol

import numpy as np

from b2scvr.bitstream.reader import decode
from b2scvr.bitstream.repair import restore_vectors
from b2scvr.engine.evaluate import pairs
from b2scvr.engine.peers import TRACE_THRESHOLD
from b2scvr.engine.protocol import Protocol
from b2scvr.engine.twins import Source, Twin, make_twin, run_twins
from b2scvr.fill import surroundings
from b2scvr.metrics.boundary import boundary_f
from b2scvr.metrics.change_point import change_point_scores, change_points
from b2scvr.metrics.log_odds import LogOddsCounts
from b2scvr.metrics.masks import MaskScores, mask_scores
from b2scvr.metrics.summary import markdown_table, with_interval
from b2scvr.ops.masks import at_pixels, damage_mask
from b2scvr.types import MB_SIZE, InputError, PictureDamage, SpliceError, Surroundings

TRACE = "damage trace"  # what the bitstream tells without any network
WRONG = 0.5  # probability from which a pixel or macroblock counts as found


class Detector(TypingProtocol):
    """Finds where one picture is damaged."""

    def detect(self, surroundings: Surroundings) -> PictureDamage:
        """Return the damage of the picture that `surroundings` is about."""
        ...


Build = Callable[[str, Protocol], Detector]


@dataclass(frozen=True)
class DetectionResult:
    """One detector on one damaged twin; ratios over all pixels of its damaged pictures."""

    clip: str
    seed: int
    branch: str
    method: str
    pictures: int
    iou: float
    precision: float
    recall: float
    average_precision: float  # of the pixels, whatever the threshold
    boundary_f: float  # mean over pictures
    iou_broken: float | None
    iou_dependent: float | None
    change_point_error: float | None  # mean over the damaged slices of broken pictures, in macroblocks
    change_point_median: float | None
    change_point_interval: float | None  # mean width of the 90 % interval that the detector gives, in macroblocks
    change_point_coverage: float | None  # share of slices whose true change point lies in it
    confidence_error: float  # mean distance between the confidence told and the IoU reached, over pictures
    pictures_per_second: float


def evaluate_detection(
    clips: Sequence[Source], seeds: list[int], branches: list[str], configs: list[str], protocol: Protocol, build: Build,
    workers: int = 1, progress: Callable[[int, int], None] | None = None,
) -> list[DetectionResult]:  # fmt: skip
    """Return a result for the damage trace and each config (by its file's name), each branch, clip and seed."""
    results: list[DetectionResult] = []
    for number, branch in enumerate(branches):
        twins = pairs(clips, seeds)
        done = number * len(twins)
        protocol = replace(protocol, branch=branch)
        for found in run_twins(detect_twin, twins, configs, protocol, build, workers):
            if isinstance(found, str):
                raise InputError(found)
            done += 1
            results += found
            if progress:
                progress(done, len(branches) * len(twins))
    return sorted(results, key=lambda r: (branches.index(r.branch), r.clip, r.seed))


def detect_twin(clip: Source, seed: int, configs: list[str], protocol: Protocol, build: Build) -> list[DetectionResult]:
    """Return the results of the damage trace and of each config on one damaged twin."""
    twin = make_twin(clip, seed, protocol)
    with contextlib.suppress(SpliceError):  # then the vectors stay as the decoder told them
        restore_vectors(twin.coded, decode)
    around = [surroundings(twin.coded.clip, slot) for slot in twin.damaged_slots()]
    results = [_judge(twin, protocol, TRACE, around, _traced)]
    for config in configs:
        results.append(_judge(twin, protocol, Path(config).stem, around, build(config, protocol).detect))
    return results


def _traced(around: Surroundings) -> PictureDamage:
    wrong = (around.damage_trace >= TRACE_THRESHOLD).astype(np.float32)
    height, width = around.decoded.shape[:2]
    return PictureDamage(wrong, at_pixels(wrong, height, width), 1.0)


def _judge(
    twin: Twin, protocol: Protocol, method: str, pictures: list[Surroundings],
    detect: Callable[[Surroundings], PictureDamage],
) -> DetectionResult:  # fmt: skip
    scores = {broken: MaskScores(0, 0, 0) for broken in (True, False)}
    outlines, points, doubts, seconds = [], [], [], 0.0
    pixels = LogOddsCounts.of(np.zeros(0), np.zeros(0))
    for around in pictures:
        start = time.perf_counter()
        damage = detect(around)
        seconds += time.perf_counter() - start
        clean = twin.clean[around.index]
        mask, truth = (damage.mask >= WRONG).astype(np.uint8), damage_mask(around.decoded, clean)
        own = mask_scores(mask[None], truth[None])
        scores[around.broken] += own
        pixels += LogOddsCounts.of_probabilities(damage.mask, truth)
        doubts.append(abs(damage.confidence - own.iou))
        outlines.append(boundary_f(mask, truth))
        if around.broken:
            points += change_points(damage.macroblocks, _wrong_macroblocks(around, clean), around.slice_start)
    total = scores[True] + scores[False]
    beginnings = change_point_scores(points)
    kinds = {broken: any(around.broken == broken for around in pictures) for broken in (True, False)}
    return DetectionResult(
        clip=twin.name, seed=twin.seed, branch=protocol.branch, method=method, pictures=len(pictures),
        iou=total.iou, precision=total.precision, recall=total.recall,
        average_precision=pixels.average_precision,
        boundary_f=float(np.mean(outlines)) if outlines else 1.0,
        iou_broken=scores[True].iou if kinds[True] else None,
        iou_dependent=scores[False].iou if kinds[False] else None,
        change_point_error=beginnings.mean_error if beginnings else None,
        change_point_median=beginnings.median_error if beginnings else None,
        change_point_interval=beginnings.interval if beginnings else None,
        change_point_coverage=beginnings.coverage if beginnings else None,
        confidence_error=float(np.mean(doubts)) if doubts else 0.0,
        pictures_per_second=len(pictures) / seconds if seconds else 0.0,
    )  # fmt: skip


def _wrong_macroblocks(around: Surroundings, clean: np.ndarray) -> np.ndarray:
    """Return which macroblocks differ at all from the clean picture, or were concealed: bool [h, w]."""
    rows, columns = around.concealed.shape
    differs = (around.decoded != clean).any(axis=2)
    short = rows * MB_SIZE - differs.shape[0], columns * MB_SIZE - differs.shape[1]
    padded = np.pad(differs, ((0, short[0]), (0, short[1])))
    return padded.reshape(rows, MB_SIZE, columns, MB_SIZE).any(axis=(1, 3)) | around.concealed


def detection_markdown(results: list[DetectionResult], protocol: Protocol) -> str:
    """Return the tables: all detectors over all damage, then by branch, then by clip. Seeds first, then clips are averaged."""
    seeds, clips = len({r.seed for r in results}), len({r.clip for r in results})
    head = (
        f"{clips} clips, {seeds} seeds, {protocol.encoding}. Detection in every damaged picture: "
        "mean over clips [95 % interval]. Change points: of the damaged slices of broken pictures, with the width of the "
        "90 % interval that the detector gives and the share of slices that lie in theirs."
    )
    tables = [head, markdown_table([_row(method, own) for method, own in _by(results, "method")])]
    if len({r.branch for r in results}) > 1:
        tables.append(_cross_table(results, "branch"))
    return "\n\n".join([*tables, _cross_table(results, "clip")])


def _row(method: str, own: list[DetectionResult]) -> dict[str, str]:
    names = {
        "IoU": "iou", "precision": "precision", "recall": "recall", "AP": "average_precision", "boundary F": "boundary_f",
        "IoU broken": "iou_broken", "IoU dependent": "iou_dependent",
    }  # fmt: skip
    row = {"detector": method}
    row |= {title: with_interval(_per_clip(own, field)) for title, field in names.items()}
    row |= {
        "change point error, macroblocks": with_interval(_per_clip(own, "change_point_error"), digits=0),
        "median": with_interval(_per_clip(own, "change_point_median"), digits=0),
        "90 % interval": with_interval(_per_clip(own, "change_point_interval"), digits=0),
        "coverage": with_interval(_per_clip(own, "change_point_coverage")),
        "confidence error": with_interval(_per_clip(own, "confidence_error")),
    }
    return row | {"pictures/s": f"{np.mean(_per_clip(own, 'pictures_per_second')):.1f}"}


def _cross_table(results: list[DetectionResult], key: str) -> str:
    rows = []
    for value, part in _by(results, key):
        row = {key: value}
        row |= {method: f"{np.mean(_per_clip(own, 'iou')):.2f}" for method, own in _by(part, "method")}
        rows.append(row)
    return "IoU by " + key + "\n\n" + markdown_table(rows)


def _by(results: list[DetectionResult], key: str) -> Iterator[tuple[str, list[DetectionResult]]]:
    for value in dict.fromkeys(getattr(r, key) for r in results):
        yield value, [r for r in results if getattr(r, key) == value]


def _per_clip(results: list[DetectionResult], field: str) -> list[float]:
    """The mean of a field over seeds and branches, one value a clip; clips without any are left out."""
    values = [[value for r in own if (value := getattr(r, field)) is not None] for _, own in _by(results, "clip")]
    return [float(np.mean(of_clip)) for of_clip in values if of_clip]
