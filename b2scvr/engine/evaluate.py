"""Recovery judged on damaged twins of clean clips, several methods on the same streams.

Each clip is encoded at its own size, damaged with each seed, and recovered blind; or it comes from a data set with its
damage (engine.twins). A protocol (engine.protocol) says what methods are told and which pictures count.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from b2scvr.bitstream.assembly import CodedClip
from b2scvr.bitstream.repair import VECTOR_FIELDS
from b2scvr.engine.infer import ClipRecoverer
from b2scvr.engine.judging import BLIND, FIRST_MASK, TRUE_MASKS, Judge, Result
from b2scvr.engine.peers import filled, other_concealments, trace_masks
from b2scvr.engine.protocol import Protocol
from b2scvr.engine.twins import DatasetClip, Source, Twin, make_twin, name_of, run_twins
from b2scvr.types import InputError, RecoveredClip

CONCEALMENT = "concealment"  # the decoder's own pictures, with the damage trace as their mask
Progress = Callable[[int, int], None]
Build = Callable[
    [str, Protocol], ClipRecoverer
]  # config's path -> what recovers; called for every twin: keep what it made


def evaluate(
    clips: Sequence[Source],
    seeds: list[int],
    configs: list[str],
    protocol: Protocol,
    build: Build,
    workers: int = 1,
    progress: Progress | None = None,
    skipped: list[str] | None = None,
) -> list[Result]:
    """Return a result for concealment, each config (by its file's name) and each peer, each clip and each seed, in that
    order. Clips of a data set have one seed, 0.

    build: makes the recoverer of a config; a function of a module where there are several workers.
    workers: processes; each works on one twin at a time with its share of the cores. One worker is this process.
    skipped: takes one sentence for each twin that cannot be judged. Raises InputError with it when that is None, or when
    no twin is left.
    """
    twins = pairs(clips, seeds)
    found: dict[tuple[str, int], list[Result]] = {}
    failed: list[str] = []
    for results in run_twins(evaluate_twin, twins, configs, protocol, build, workers):
        if isinstance(results, str):
            failed.append(results)
        else:
            found[results[0].clip, results[0].seed] = results
        if progress:
            progress(len(found) + len(failed), len(twins))
    if failed and (skipped is None or not found):
        raise InputError(failed[0])
    if skipped is not None:
        skipped += failed
    return [result for source, seed in twins for result in found.get((name_of(source), seed), ())]


def pairs(clips: Sequence[Source], seeds: list[int]) -> list[tuple[Source, int]]:
    """Return each clip with each seed; the damage of a data set's clip is there already."""
    return [(clip, seed) for clip in clips for seed in ([0] if isinstance(clip, DatasetClip) else seeds)]


def evaluate_twin(clip: Source, seed: int, configs: list[str], protocol: Protocol, build: Build) -> list[Result]:
    """Return the results of concealment, of each config and of each peer on the twin of `clip` damaged with `seed`.

    Peers that need masks get those that the last config found, and then the true ones.
    """
    twin = make_twin(clip, seed, protocol)
    judge = Judge(twin, protocol)
    decoded = twin.coded.clip
    results = [judge.result(CONCEALMENT, decoded.frames, trace_masks(decoded), 0.0)]
    if CONCEALMENT in protocol.peers:
        results += [judge.result(r.peer, r.frames, r.masks, r.seconds) for r in other_concealments(twin)]
    found: tuple[str, RecoveredClip] | None = None
    for config in configs:
        recoverer = build(config, protocol)
        start = time.perf_counter()
        recovered, told = _recover(recoverer, twin, protocol)
        seconds = time.perf_counter() - start
        name = Path(config).stem
        masks = recovered.masks.masks
        results.append(judge.result(name, recovered.frames, masks, seconds, recovered.notes, told))
        found = (name, recovered) if told == BLIND else found
    return results + list(_filled(judge, twin, protocol, found))


def _recover(recoverer: ClipRecoverer, twin: Twin, protocol: Protocol) -> tuple[RecoveredClip, str]:
    """Return the recovery, and what the method was told beside the damaged stream."""
    coded = _copy(twin.coded)
    if protocol.masks == "given":
        return recoverer.recover(coded, twin.given_masks()), TRUE_MASKS
    first = twin.first_mask()
    if protocol.masks == "first" and first is not None and _tracks(recoverer):
        return recoverer.recover(coded, recoverer.detect(coded, first_mask=first).masks), FIRST_MASK
    return recoverer.recover(coded), BLIND


def _tracks(recoverer: ClipRecoverer) -> bool:
    """Whether its detector goes through whole clips, like the published one, that is, from a first mask."""
    return bool(getattr(getattr(recoverer, "pipeline", None), "tracks", False))


def _filled(judge: Judge, twin: Twin, protocol: Protocol, found: tuple[str, RecoveredClip] | None) -> Iterator[Result]:
    if found is not None:
        name, recovered = found
        for made in filled(twin, protocol.peers, recovered.masks.masks):
            yield judge.result(f"{made.peer}, masks of {name}", made.frames, made.masks, made.seconds)
    for made in filled(twin, protocol.peers, twin.given_masks() if protocol.masks == "given" else twin.masks):
        yield judge.result(f"{made.peer}, true masks", made.frames, made.masks, made.seconds, told=TRUE_MASKS)


def results_by_method(results: list[Result]) -> Iterator[tuple[str, list[Result]]]:
    """Yield the methods in the order of their first result, each with its results."""
    for method in dict.fromkeys(result.method for result in results):
        yield method, [result for result in results if result.method == method]


def _copy(coded: CodedClip) -> CodedClip:
    """A copy whose vectors may be changed: recovery reads them again."""
    clip = coded.clip
    return replace(coded, clip=replace(clip, **{name: getattr(clip, name).copy() for name in VECTOR_FIELDS}))
