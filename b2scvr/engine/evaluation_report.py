"""The results of an evaluation as Markdown, CSV and JSON, and what the plot of it shows."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from b2scvr.engine.evaluate import CONCEALMENT, results_by_method
from b2scvr.engine.judging import BLIND, Result
from b2scvr.engine.protocol import Protocol
from b2scvr.engine.run_record import commit, versions
from b2scvr.metrics.summary import markdown_table, mean_and_interval, with_interval
from b2scvr.metrics.vfid import FEWEST_VIDEOS, frechet_distance
from b2scvr.write.dot_plot import Series

# Title, score, digits, factor.
QUALITY: tuple[tuple[str, str, int, float], ...] = (
    ("PSNR", "psnr", 2, 1), ("SSIM", "ssim", 4, 1), ("SSIM 65", "ssim65", 4, 1), ("LPIPS", "lpips", 4, 1),
    ("warping error x 1000", "warping_error", 2, 1000), ("mask IoU", "iou", 2, 1), ("boundary F", "boundary_f", 2, 1),
)  # fmt: skip
METRIC_TITLES = {"lpips": "LPIPS", "vfid": "VFID", "ssim": "SSIM", "ssim65": "SSIM with window 65"}
Gains = dict[tuple[str, str], dict[str, float]]  # by (clip, method): "all", "broken", "dependent"


def markdown(
    results: list[Result],
    protocol: Protocol,
    missing: Mapping[str, str] | None = None,
    skipped: Sequence[str] = (),
    leader: str | None = None,
) -> str:
    """Return the tables of an evaluation: all methods over all clips, all metrics by kind of picture, then each clip.

    Seeds are averaged first, then clips; the intervals are over clips. Gains are over concealment on the same streams.
    missing: metrics that could not be computed, with the reason; skipped: a sentence for each twin that was not judged;
    leader: the method that the others are compared with, clip by clip, where there are others beside concealment.
    """
    clips = len({result.clip for result in results})
    seeds = len({result.seed for result in results})
    counted = "all damaged pictures" if protocol.counted == "damaged" else "the pictures that count"
    made = "" if protocol.dataset else f"{seeds} seeds, {protocol.encoding}, "
    head = (
        f"{clips} clips, branch {protocol.branch}, {made}mode {protocol.mode}. PSNR (RGB) in dB over {counted}: "
        "mean over clips [95 % interval]; masks over all pictures."
    )
    gains = gain_table(results)
    parts = [head] if protocol.name == "ours" else [protocol.described().capitalize() + ".", head]
    parts.append(markdown_table(list(_method_rows(results, gains, leader))))
    parts += _quality_tables(results, counted)
    parts.append(markdown_table(list(_clip_rows(results, gains))))
    parts += [f"No {METRIC_TITLES.get(name, name)}: {reason}." for name, reason in (missing or {}).items()]
    parts += [f"Not judged: {sentence}." for sentence in skipped]
    return "\n\n".join(parts)


def gain_table(results: list[Result]) -> Gains:
    """Return, by (clip, method), the gains in dB over concealment: "all", "broken", "dependent", seeds averaged."""
    base = {(r.branch, r.clip, r.seed): r for r in results if r.method == CONCEALMENT}
    collected: dict[tuple[str, str], dict[str, list[float]]] = {}
    for result in results:
        before = base[result.branch, result.clip, result.seed]
        for name, field in (("all", "psnr"), ("broken", "psnr_broken"), ("dependent", "psnr_dependent")):
            new, old = result[field], before[field]
            if new is not None and old is not None:
                collected.setdefault((result.clip, result.method), {}).setdefault(name, []).append(new - old)
    return {key: {name: float(np.mean(values)) for name, values in named.items()} for key, named in collected.items()}


def gain_series(results: list[Result]) -> list[Series]:
    """Return what a plot of the gains by clip and method shows: all methods but concealment itself."""
    gains = gain_table(results)
    found = []
    for method, own in results_by_method(results):
        values = {clip: gain["all"] for (clip, name), gain in gains.items() if name == method and "all" in gain}
        if method != CONCEALMENT and values:
            told = any(result.told != BLIND for result in own)
            found.append(Series(method, values, *mean_and_interval(list(values.values())), hollow=told))
    return found


def vfid_by_method(results: list[Result]) -> dict[str, float]:
    """Return the VFID of each method over its twins; methods with too few, or without features, are left out."""
    found = {}
    for method, own in results_by_method(results):
        features = [result.features for result in own if result.features is not None]
        if len(features) >= FEWEST_VIDEOS:
            made, clean = (np.stack(side) for side in zip(*features, strict=True))
            found[method] = frechet_distance(made, clean)
    return found


def summary(results: list[Result]) -> dict[str, dict[str, dict[str, float | None]]]:
    """Return mean, both ends of the interval (None for a single clip) and number of clips, by method and score."""
    found: dict[str, dict[str, dict[str, float | None]]] = {}
    for method, own in results_by_method(results):
        names = dict.fromkeys(name for result in own for name in result.scores)
        means = {name: list(_seed_means(own, name).values()) for name in names}
        for name, values in means.items():
            if values:
                mean, low, high = mean_and_interval(values)
                ends = (None, None) if math.isnan(low) else (low, high)
                found.setdefault(method, {})[name] = {
                    "mean": mean,
                    "low": ends[0],
                    "high": ends[1],
                    "clips": len(values),
                }
    return found


def as_json(
    results: Sequence[Any],
    protocol: Protocol,
    clips: list[str],
    seeds: list[int],
    missing: Mapping[str, str] | None = None,
    skipped: Sequence[str] = (),
) -> str:
    """Return all results (dataclasses) with what is needed to repeat them."""
    record: dict[str, Any] = {
        "protocol": asdict(protocol),
        "clips": clips,
        "seeds": seeds,
        "commit": commit(),
        "versions": versions(),
    }
    own = [result for result in results if isinstance(result, Result)]
    if len(own) == len(results):
        record |= {
            "missing": missing or {},
            "skipped": list(skipped),
            "summary": summary(own),
            "vfid": vfid_by_method(own),
        }
    return json.dumps(record | {"results": [_plain(result) for result in results]}, indent=1)


def as_csv(results: Sequence[Any]) -> str:
    """Return one line a result."""
    buffer = io.StringIO()
    rows = [{key: value for key, value in _plain(result).items() if key != "notes"} for result in results]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(buffer, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _plain(result: Any) -> dict[str, Any]:
    """The fields of a result by name, its scores among them."""
    found = {f.name: getattr(result, f.name) for f in fields(result) if f.name not in ("features", "scores")}
    return found | dict(getattr(result, "scores", {}))


def _method_rows(results: list[Result], gains: Gains, leader: str | None) -> Iterator[dict[str, str]]:
    some_told = any(result.told != BLIND for result in results)
    methods = dict(results_by_method(results))
    for method, own in methods.items():
        found = {clip: gain for (clip, name), gain in gains.items() if name == method}
        worst = min(((gain["all"], clip) for clip, gain in found.items() if "all" in gain), default=None)
        told = {"told": ", ".join(dict.fromkeys(result.told for result in own))} if some_told else {}
        ahead = {f"{leader} is ahead by": _lead(gains, leader, method)} if leader and len(methods) > 2 else {}
        yield {
            "method": method,
            **told,
            "PSNR": _shown(own, "psnr"),
            "gain": with_interval([gain["all"] for gain in found.values() if "all" in gain], signed=True),
            "broken": with_interval([gain["broken"] for gain in found.values() if "broken" in gain], signed=True),
            "dependent": with_interval([g["dependent"] for g in found.values() if "dependent" in g], signed=True),
            "worst clip": "-" if worst is None else f"{worst[0]:+.2f} ({worst[1]})",
            **ahead,
            "mask IoU": _shown(own, "iou_all"),
            "precision": _shown(own, "precision_all"),
            "recall": _shown(own, "recall_all"),
            "s a clip": f"{np.mean([result.seconds for result in own]):.1f}",
        }


def _lead(gains: Gains, leader: str, method: str) -> str:
    """By how much `leader` gains more than `method` on the same clips."""
    pairs = [(gains.get((clip, leader), {}), gain) for (clip, name), gain in gains.items() if name == method != leader]
    return with_interval(
        [own["all"] - gain["all"] for own, gain in pairs if "all" in own and "all" in gain], signed=True
    )


def _quality_tables(results: list[Result], counted: str) -> Iterator[str]:
    """Yield the metrics over the pictures that count and over all, and over broken and dependent ones apart."""
    distances = vfid_by_method(results)
    for about, endings in (
        (f"Over {counted}, and over all pictures", {"": "", "_all": " all"}),
        ("Over broken pictures, which lost bits of their own, and over dependent ones, which predict from them",
         {"_broken": " broken", "_dependent": " dependent"}),
    ):  # fmt: skip
        rows = []
        for method, own in results_by_method(results):
            cells = {
                title + words: _shown(own, score + ending, digits, factor)
                for title, score, digits, factor in QUALITY
                for ending, words in endings.items()
            }
            if distances and "_all" in endings:
                cells["VFID all"] = f"{distances[method]:.3f}" if method in distances else "-"
            rows.append({"method": method} | cells)
        empty = [name for name in rows[0] if all(row[name] == "-" for row in rows)]
        table = markdown_table([{name: cell for name, cell in row.items() if name not in empty} for row in rows])
        if len(empty) < len(rows[0]) - 1:
            yield f"{about}:\n\n{table}"
    floor = [value for result in results if (value := result["warping_clean"]) is not None]
    if floor:
        yield f"Warping error of the clean clips: {1000 * np.mean(floor):.2f} x 1000."


def _clip_rows(results: list[Result], gains: Gains) -> Iterator[dict[str, str]]:
    methods = dict(results_by_method(results))
    for clip in dict.fromkeys(result.clip for result in results):
        own = [result for result in methods[CONCEALMENT] if result.clip == clip]
        damaged, broken = (np.mean([getattr(r, name) for r in own]) for name in ("damaged", "broken"))
        row = {"clip": clip, "damaged (broken)": f"{damaged:.0f} ({broken:.0f})"}
        for method, all_of_it in methods.items():
            value, iou = (_seed_means(all_of_it, name).get(clip) for name in ("psnr", "iou_all"))
            gain = gains.get((clip, method), {}).get("all")
            decibels = value if method == CONCEALMENT or gain is None else gain
            sign = "" if decibels is value else "+"
            shown = "-" if decibels is None else f"{decibels:{sign}.2f}"
            row[f"{method}: dB, IoU"] = shown if iou is None else f"{shown}, {iou:.2f}"
        yield row


def _shown(own: list[Result], score: str, digits: int = 2, factor: float = 1) -> str:
    """A score of one method over clips, with its interval."""
    return with_interval([factor * value for value in _seed_means(own, score).values()], digits=digits)


def _seed_means(own: list[Result], score: str) -> dict[str, float]:
    """The mean over seeds (and kinds of damage) of a score, by clip; clips without any are left out."""
    found: dict[str, list[float]] = {}
    for result in own:
        value = result[score]
        if value is not None:
            found.setdefault(result.clip, []).append(value)
    return {clip: float(np.mean(values)) for clip, values in found.items()}
