"""Recovery judged on damaged twins of clean clips, several methods on the same streams.

Each clip is encoded at its own size, damaged with each seed, and recovered blind. Judged are all damaged pictures:
those whose decode differs at all from the decode of the undamaged stream.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from b2scvr.bitstream.assembly import CodedClip
from b2scvr.bitstream.damage import branch, damage
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.reader import decode
from b2scvr.bitstream.repair import VECTOR_FIELDS
from b2scvr.bitstream.video import load_frames
from b2scvr.data.workers import run_jobs
from b2scvr.engine.infer import ClipRecoverer
from b2scvr.metrics.masks import damaged_pictures, mask_scores, mask_truth
from b2scvr.metrics.psnr import psnr
from b2scvr.ops.masks import at_pixels
from b2scvr.types import AccessUnitStatus, ParsedClip

CONCEALMENT = "concealment"  # the decoder's own pictures, with the damage trace as their mask
TRACE_THRESHOLD = 0.5  # a macroblock's damage trace from which it counts as marked
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Protocol:
    """How the damaged twins are made, and how they are recovered."""

    branch: str = "144096"
    crf: float = 23
    gop: int = 16
    mode: str = "splice"
    checkpoint: str | None = None  # instead of the configs' own
    device: str = "cpu"
    max_pictures: int | None = None  # of each clip; None = all


Build = Callable[
    [str, Protocol], ClipRecoverer
]  # config's path -> what recovers; called for every twin: keep what it made


@dataclass(frozen=True)
class Result:
    """One method on one damaged twin. PSNR in dB, the mean over pictures; None where there was no such picture."""

    clip: str
    seed: int
    method: str
    damaged: int  # pictures
    broken: int  # of them
    psnr: float | None  # over all damaged pictures
    psnr_broken: float | None
    psnr_dependent: float | None  # damaged, but not broken
    iou: float
    precision: float
    recall: float
    seconds: float
    notes: tuple[str, ...] = ()
    branch: str = ""  # the kind of damage


def evaluate(
    clips: list[Path],
    seeds: list[int],
    configs: list[str],
    protocol: Protocol,
    build: Build,
    workers: int = 1,
    progress: Progress | None = None,
) -> list[Result]:
    """Return a result for concealment and each config (by its file's name), each clip and each seed, in that order.

    build: makes the recoverer of a config; a function of a module where there are several workers.
    workers: processes; each works on one twin at a time with its share of the cores. One worker is this process.
    """
    twins = [(clip, seed) for clip in clips for seed in seeds]
    found: dict[tuple[str, int], list[Result]] = {}
    for results in run_twins(evaluate_twin, twins, configs, protocol, build, workers):
        found[results[0].clip, results[0].seed] = results
        if progress:
            progress(len(found), len(twins))
    return [result for clip, seed in twins for result in found[clip.stem, seed]]


def run_twins(
    judge: Callable[[Path, int, list[str], Protocol, Any], list[Any]],
    twins: list[tuple[Path, int]],
    configs: list[str],
    protocol: Protocol,
    build: Callable[[str, Protocol], Any],
    workers: int,
) -> Iterator[list[Any]]:
    """Yield what `judge` finds of each twin, as it comes: in this process, or in as many as there are workers."""
    if workers == 1:
        for clip, seed in twins:
            yield judge(clip, seed, configs, protocol, build)
        return
    threads = max(1, torch.get_num_threads() // workers)
    jobs = ((clip, seed, configs, protocol, build) for clip, seed in twins)
    for _, future in run_jobs(judge, jobs, workers, start=partial(_start, threads)):
        yield future.result()


@dataclass(frozen=True)
class Twin:
    """A clip whose stream was damaged, and its truth."""

    name: str
    seed: int
    truth: ParsedClip
    coded: CodedClip

    def damaged_slots(self) -> list[int]:
        """Display indices of the pictures that differ at all from the truth, in decoding order."""
        differs = damaged_pictures(self.coded.clip.frames, self.truth.frames)
        return [int(slot) for slot in np.argsort(self.coded.clip.decode_index) if differs[slot]]


def damaged_twin(clip: Path, seed: int, protocol: Protocol) -> Twin:
    """Return `clip`, encoded and damaged.

    Raises ValueError when the damaged stream has other access units than the clean one.
    """
    stream = encode_h264(
        load_frames(clip, stop=protocol.max_pictures), crf=protocol.crf, gop=protocol.gop, crop_odd=True
    )
    broken, _ = damage(stream, replace(branch(protocol.branch, seed), gop=protocol.gop))
    truth = decode(stream).clip
    coded = decode(broken)
    if not np.array_equal(coded.clip.decode_index, truth.decode_index):
        raise ValueError(f"{clip.name}, seed {seed}: the damaged stream has other access units than the clean one")
    return Twin(clip.stem, seed, truth, coded)


def evaluate_twin(clip: Path, seed: int, configs: list[str], protocol: Protocol, build: Build) -> list[Result]:
    """Return the results of concealment and of each config on the twin of `clip` damaged with `seed`."""
    twin = damaged_twin(clip, seed, protocol)
    coded = twin.coded
    judge = _Judge(twin.name, seed, protocol.branch, twin.truth.frames, coded.clip)
    results = [judge.result(CONCEALMENT, coded.clip.frames, trace_masks(coded.clip), 0.0)]
    for config in configs:
        recoverer = build(config, protocol)
        start = time.perf_counter()
        recovered = recoverer.recover(_copy(coded))
        seconds = time.perf_counter() - start
        masks = recovered.masks.masks
        results.append(judge.result(Path(config).stem, recovered.frames, masks, seconds, recovered.notes))
    return results


def trace_masks(clip: ParsedClip) -> np.ndarray:
    """Return the damage trace as masks, uint8 [T, H, W]: what the bitstream tells without any network."""
    height, width = clip.frames.shape[1:3]
    marked = (clip.damage_trace >= TRACE_THRESHOLD).astype(np.uint8)
    return at_pixels(marked, height, width)


class _Judge:
    """Compares recoveries of one twin with its truth."""

    def __init__(self, clip: str, seed: int, branch: str, truth: np.ndarray, decoded: ParsedClip) -> None:
        self.clip, self.seed, self.branch, self.truth = clip, seed, branch, truth
        self.damaged = damaged_pictures(decoded.frames, truth)
        self.broken = self.damaged & (decoded.status == AccessUnitStatus.BROKEN)
        self.masks = mask_truth(decoded.frames, truth)

    def result(
        self, method: str, frames: np.ndarray, masks: np.ndarray, seconds: float, notes: tuple[str, ...] = ()
    ) -> Result:
        values = psnr(frames, self.truth)
        scores = mask_scores(masks, self.masks)
        return Result(
            clip=self.clip,
            seed=self.seed,
            method=method,
            damaged=int(self.damaged.sum()),
            broken=int(self.broken.sum()),
            psnr=_mean(values[self.damaged]),
            psnr_broken=_mean(values[self.broken]),
            psnr_dependent=_mean(values[self.damaged & ~self.broken]),
            iou=scores.iou,
            precision=scores.precision,
            recall=scores.recall,
            seconds=seconds,
            notes=notes,
            branch=self.branch,
        )


def results_by_method(results: list[Result]) -> Iterator[tuple[str, list[Result]]]:
    """Yield the methods in the order of their first result, each with its results."""
    for method in dict.fromkeys(result.method for result in results):
        yield method, [result for result in results if result.method == method]


def _copy(coded: CodedClip) -> CodedClip:
    """A copy whose vectors may be changed: recovery reads them again."""
    clip = coded.clip
    return replace(coded, clip=replace(clip, **{name: getattr(clip, name).copy() for name in VECTOR_FIELDS}))


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if values.size else None


def _start(threads: int) -> None:
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
