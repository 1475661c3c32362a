"""The results of an evaluation as Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from b2scvr.engine.evaluate import CONCEALMENT, results_by_method
from b2scvr.engine.judging import Result
from b2scvr.engine.protocol import Protocol
from b2scvr.engine.run_record import commit, versions
from b2scvr.metrics.summary import markdown_table, with_interval

Value = Callable[[Result], float | None]


def markdown(results: list[Result], protocol: Protocol) -> str:
    """Return the tables of an evaluation: all methods over all clips, then each clip.

    Seeds are averaged first, then clips; the intervals are over clips. Gains are over concealment on the same streams.
    """
    clips = len({result.clip for result in results})
    seeds = len({result.seed for result in results})
    head = (
        f"{clips} clips, {seeds} seeds, branch {protocol.branch}, CRF {protocol.crf:g}, GOP {protocol.gop}, "
        f"mode {protocol.mode}. PSNR (RGB) in dB over all damaged pictures: mean over clips ± 95 % interval."
    )
    gains = gain_table(results)
    return "\n\n".join(
        [head, markdown_table(list(_method_rows(results, gains))), markdown_table(list(_clip_rows(results, gains)))]
    )


def gain_table(results: list[Result]) -> dict[tuple[str, str], dict[str, float]]:
    """Return, by (clip, method), the gains in dB over concealment: "all", "broken", "dependent", seeds averaged."""
    base = {(r.clip, r.seed): r for r in results if r.method == CONCEALMENT}
    collected: dict[tuple[str, str], dict[str, list[float]]] = {}
    for result in results:
        before = base[result.clip, result.seed]
        for name, field in (("all", "psnr"), ("broken", "psnr_broken"), ("dependent", "psnr_dependent")):
            new, old = getattr(result, field), getattr(before, field)
            if new is not None and old is not None:
                collected.setdefault((result.clip, result.method), {}).setdefault(name, []).append(new - old)
    return {key: {name: float(np.mean(values)) for name, values in named.items()} for key, named in collected.items()}


def as_json(results: Sequence[Any], protocol: Protocol, clips: list[str], seeds: list[int]) -> str:
    """Return all results (dataclasses) with what is needed to repeat them."""
    record = {"protocol": asdict(protocol), "clips": clips, "seeds": seeds, "commit": commit(), "versions": versions()}
    return json.dumps(record | {"results": [asdict(result) for result in results]}, indent=1)


def as_csv(results: Sequence[Any]) -> str:
    """Return one line a result."""
    buffer = io.StringIO()
    rows = [{key: value for key, value in asdict(result).items() if key != "notes"} for result in results]
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _method_rows(results: list[Result], gains: dict[tuple[str, str], dict[str, float]]) -> Iterator[dict[str, str]]:
    for method, own in results_by_method(results):
        clips = list(dict.fromkeys(result.clip for result in own))

        def per_clip(value: Value, own: list[Result] = own, clips: list[str] = clips) -> list[float]:
            return list(_seed_means(own, clips, value).values())

        found = {name: gains.get((name, method), {}) for name in clips}
        worst = min((gain["all"], name) for name, gain in found.items() if "all" in gain)
        yield {
            "method": method,
            "PSNR": with_interval(per_clip(lambda r: r.psnr)),
            "gain": with_interval([gain["all"] for gain in found.values() if "all" in gain], signed=True),
            "broken": with_interval([gain["broken"] for gain in found.values() if "broken" in gain], signed=True),
            "dependent": with_interval([g["dependent"] for g in found.values() if "dependent" in g], signed=True),
            "worst clip": f"{worst[0]:+.2f} ({worst[1]})",
            "mask IoU": with_interval(per_clip(lambda r: r.iou)),
            "precision": with_interval(per_clip(lambda r: r.precision)),
            "recall": with_interval(per_clip(lambda r: r.recall)),
            "s a clip": f"{np.mean(per_clip(lambda r: r.seconds)):.1f}",
        }


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
