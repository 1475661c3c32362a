"""The results of an evaluation as Markdown, CSV and JSON, and what the plot of it shows."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
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

Value = Callable[[Result], float | None]
# Title, field of Result, digits, factor. Over the pictures that count, then over all.
QUALITY: tuple[tuple[str, str, int, float], ...] = (
    ("PSNR all", "psnr_all", 2, 1),
    ("SSIM", "ssim", 4, 1), ("SSIM all", "ssim_all", 4, 1),
    ("SSIM 65", "ssim65", 4, 1), ("SSIM 65 all", "ssim65_all", 4, 1),
    ("LPIPS", "lpips", 4, 1), ("LPIPS all", "lpips_all", 4, 1),
    ("warping error x 1000", "warping_error", 2, 1000), ("warping error x 1000 all", "warping_error_all", 2, 1000),
    ("boundary F", "boundary_f", 3, 1), ("boundary F all", "boundary_f_all", 3, 1),
)  # fmt: skip
METRIC_TITLES = {"lpips": "LPIPS", "vfid": "VFID", "ssim": "SSIM", "ssim65": "SSIM with window 65"}
_NOT_IN_FILES = ("features",)


def markdown(
    results: list[Result], protocol: Protocol, missing: Mapping[str, str] | None = None, skipped: Sequence[str] = ()
) -> str:
    """Return the tables of an evaluation: all methods over all clips, further metrics, then each clip.

    Seeds are averaged first, then clips; the intervals are over clips. Gains are over concealment on the same streams.
    missing: metrics that could not be computed, with the reason; skipped: a sentence for each twin that was not judged.
    """
    clips = len({result.clip for result in results})
    seeds = len({result.seed for result in results})
    counted = "all damaged pictures" if protocol.counted == "damaged" else "the pictures that count"
    head = (
        f"{clips} clips, {seeds} seeds, branch {protocol.branch}, CRF {protocol.crf:g}, GOP {protocol.gop}, "
        f"mode {protocol.mode}. PSNR (RGB) in dB over {counted}: mean over clips ± 95 % interval."
    )
    gains = gain_table(results)
    parts = [head] if protocol.name == "ours" else [protocol.described().capitalize() + ".", head]
    parts.append(markdown_table(list(_method_rows(results, gains))))
    if quality := _quality_table(results):
        parts.append(quality)
    parts.append(markdown_table(list(_clip_rows(results, gains))))
    parts += [f"No {METRIC_TITLES.get(name, name)}: {reason}." for name, reason in (missing or {}).items()]
    parts += [f"Not judged: {sentence}." for sentence in skipped]
    return "\n\n".join(parts)


def gain_table(results: list[Result]) -> dict[tuple[str, str], dict[str, float]]:
    """Return, by (clip, method), the gains in dB over concealment: "all", "broken", "dependent", seeds averaged."""
    base = {(r.branch, r.clip, r.seed): r for r in results if r.method == CONCEALMENT}
    collected: dict[tuple[str, str], dict[str, list[float]]] = {}
    for result in results:
        before = base[result.branch, result.clip, result.seed]
        for name, field in (("all", "psnr"), ("broken", "psnr_broken"), ("dependent", "psnr_dependent")):
            new, old = getattr(result, field), getattr(before, field)
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
    if all(isinstance(result, Result) for result in results):
        record |= {"vfid": vfid_by_method(list(results)), "missing": missing or {}, "skipped": list(skipped)}
    return json.dumps(record | {"results": [_plain(result) for result in results]}, indent=1)


def as_csv(results: Sequence[Any]) -> str:
    """Return one line a result."""
    buffer = io.StringIO()
    rows = [{key: value for key, value in _plain(result).items() if key != "notes"} for result in results]
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _plain(result: Any) -> dict[str, Any]:
    return {f.name: getattr(result, f.name) for f in fields(result) if f.name not in _NOT_IN_FILES}


def _method_rows(results: list[Result], gains: dict[tuple[str, str], dict[str, float]]) -> Iterator[dict[str, str]]:
    some_told = any(result.told != BLIND for result in results)
    for method, own in results_by_method(results):
        clips = list(dict.fromkeys(result.clip for result in own))

        def per_clip(value: Value, own: list[Result] = own, clips: list[str] = clips) -> list[float]:
            return list(_seed_means(own, clips, value).values())

        found = {name: gains.get((name, method), {}) for name in clips}
        worst = min(((gain["all"], name) for name, gain in found.items() if "all" in gain), default=None)
        told = {"told": ", ".join(dict.fromkeys(result.told for result in own))} if some_told else {}
        yield {
            "method": method,
            **told,
            "PSNR": with_interval(per_clip(lambda r: r.psnr)),
            "gain": with_interval([gain["all"] for gain in found.values() if "all" in gain], signed=True),
            "broken": with_interval([gain["broken"] for gain in found.values() if "broken" in gain], signed=True),
            "dependent": with_interval([g["dependent"] for g in found.values() if "dependent" in g], signed=True),
            "worst clip": "-" if worst is None else f"{worst[0]:+.2f} ({worst[1]})",
            "mask IoU": with_interval(per_clip(lambda r: r.iou)),
            "precision": with_interval(per_clip(lambda r: r.precision)),
            "recall": with_interval(per_clip(lambda r: r.recall)),
            "s a clip": f"{np.mean(per_clip(lambda r: r.seconds)):.1f}",
        }


def _quality_table(results: list[Result]) -> str:
    """The further metrics that were computed for any result; "" when there are none."""
    columns = [column for column in QUALITY if any(getattr(result, column[1]) is not None for result in results)]
    distances = vfid_by_method(results)
    if not columns:
        return ""
    rows = []
    for method, own in results_by_method(results):
        clips = list(dict.fromkeys(result.clip for result in own))
        row = {"method": method}
        for title, name, digits, factor in columns:
            means = _seed_means(own, clips, lambda r, name=name: getattr(r, name))  # type: ignore[misc]
            row[title] = with_interval([factor * value for value in means.values()], digits=digits)
        rows.append(row | ({"VFID": f"{distances[method]:.3f}" if method in distances else "-"} if distances else {}))
    floor = [result.warping_error_clean for result in results if result.warping_error_clean is not None]
    remark = f"\n\nWarping error of the clean clips: {1000 * np.mean(floor):.2f} x 1000." if floor else ""
    return markdown_table(rows) + remark


def _clip_rows(results: list[Result], gains: dict[tuple[str, str], dict[str, float]]) -> Iterator[dict[str, str]]:
    methods = dict(results_by_method(results))
    for clip in dict.fromkeys(result.clip for result in results):
        own = [result for result in methods[CONCEALMENT] if result.clip == clip]
        damaged, broken = (np.mean([getattr(r, name) for r in own]) for name in ("damaged", "broken"))
        row = {"clip": clip, "damaged (broken)": f"{damaged:.0f} ({broken:.0f})"}
        for method, all_of_it in methods.items():
            iou = _seed_means(all_of_it, [clip], lambda r: r.iou)[clip]
            value = _seed_means(all_of_it, [clip], lambda r: r.psnr).get(clip)
            gain = gains.get((clip, method), {}).get("all")
            shown = (
                "-" if value is None else f"{value:.2f}" if method == CONCEALMENT or gain is None else f"{gain:+.2f}"
            )
            row[f"{method}: dB, IoU"] = f"{shown}, {iou:.2f}"
        yield row


def _seed_means(results: list[Result], clips: list[str], value: Value) -> dict[str, float]:
    """The mean over seeds of `value`, by clip; clips without any are left out."""
    found = {name: [v for r in results if r.clip == name and (v := value(r)) is not None] for name in clips}
    return {name: float(np.mean(values)) for name, values in found.items() if values}
