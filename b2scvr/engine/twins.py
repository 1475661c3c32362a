"""Damaged clips with their truth: clean footage that is encoded and damaged here, or clips of a data set like BSCV."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from b2scvr.bitstream.assembly import CodedClip, blank_clip
from b2scvr.bitstream.damage import BRANCHES, DamageModel, damage_all, parse_models
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.reader import decode, read, read_coded
from b2scvr.bitstream.video import list_videos, load_frames
from b2scvr.data.bscv import layout
from b2scvr.data.bscv.align_units import align_clips
from b2scvr.data.bscv.load import BscvBranch, BscvClip
from b2scvr.data.workers import WorkerLostError, run_jobs
from b2scvr.engine.protocol import DILATION_STEPS, Protocol
from b2scvr.metrics.masks import damaged_pictures, mask_truth
from b2scvr.metrics.resize import resize_masks, resize_pictures
from b2scvr.types import FirstMask, InputError, SpliceError

CHAIN = " + "  # between damage models that are applied one after the other
_BRANCH_FOLDERS = (layout.STREAMS, *layout.PICTURE_FOLDERS)
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


@dataclass(frozen=True)
class DatasetClip:
    """One clip of a branch of a data set in BSCV's layout; its damage is fixed."""

    folder: Path  # of the branch
    id: str


Source = Path | DatasetClip  # a video of clean footage, or a clip of a data set


@dataclass(frozen=True)
class Twin:
    """A damaged clip and its truth; arrays belong together picture by picture."""

    name: str
    seed: int
    clean: np.ndarray  # uint8 [T, H, W, 3]
    coded: CodedClip  # damaged; without access units where only pictures and masks are handed over
    masks: np.ndarray  # uint8 [T, H, W], 1 = visibly damaged
    notes: tuple[str, ...] = ()

    def damaged_slots(self) -> list[int]:
        """Display indices of the pictures that differ at all from the truth, in decoding order."""
        differs = damaged_pictures(self.coded.clip.frames, self.clean)
        return [int(slot) for slot in np.argsort(self.coded.clip.decode_index) if differs[slot]]

    def given_masks(self) -> np.ndarray:
        """Return the masks as the published test code hands them to the network: dilated, uint8 [T, H, W]."""
        return np.stack([cv2.dilate(mask, _CROSS, iterations=DILATION_STEPS) for mask in self.masks])

    def first_mask(self) -> FirstMask | None:
        """Return display index and mask of the first damaged picture; None when there is none."""
        marked = np.flatnonzero(self.masks.any(axis=(1, 2)))
        return (int(marked[0]), self.masks[marked[0]]) if len(marked) else None


def name_of(source: Source) -> str:
    """Return what results call a source."""
    return source.id if isinstance(source, DatasetClip) else source.stem


def list_sources(folder: Path, branch: str) -> list[Source]:
    """Return the clips of `branch` where `folder` is a data set in BSCV's layout, or a branch of one; else its videos.

    Raises InputError when the folder is missing, holds neither, or is a data set without that branch; ValueError when
    footage cannot be damaged so (`damage_of`).
    """
    if _is_branch(folder / branch):
        return _clips(folder / branch)
    if _is_branch(folder):
        if folder.resolve().name in BRANCHES and folder.resolve().name != branch:
            raise InputError(f"{folder}: is the branch {folder.resolve().name}, not {branch}: name it by --branch")
        return _clips(folder)
    branches = sorted(place.name for place in folder.glob("*/") if _is_branch(place))
    if branches:
        raise InputError(
            f"{folder}: a data set with the branches {', '.join(branches)}, not {branch}; to damage its clean streams "
            f"anew give {layout.TRUTH_BRANCH}/{layout.TRUTH_STREAMS} in it"
        )
    damage_of(Protocol(branch=branch), seed=0)
    return list(list_videos(folder))


def damage_of(protocol: Protocol, seed: int) -> list[DamageModel]:
    """Return the damage models of a protocol, in the order in which they are applied: several are joined by " + ".

    Raises ValueError for one that is unknown or makes no sense (`bitstream.damage.parse_models`).
    """
    return parse_models(protocol.branch.split(CHAIN), seed, {"gop": protocol.gop})


def _is_branch(folder: Path) -> bool:
    return any((folder / name).exists() or (folder / f"{name}.zip").exists() for name in _BRANCH_FOLDERS)


def _clips(folder: Path) -> list[Source]:
    return [DatasetClip(folder, clip) for clip in BscvBranch(folder).ids]


def make_twin(source: Source, seed: int, protocol: Protocol) -> Twin:
    """Return the damaged twin of a source. Raises InputError, one sentence, when the protocol cannot be kept with it."""
    twin = _from_dataset(source, protocol) if isinstance(source, DatasetClip) else _damaged(source, seed, protocol)
    return _without_bitstream(twin, protocol.size) if protocol.masks == "given" and protocol.size else twin


def _damaged(clip: Path, seed: int, protocol: Protocol) -> Twin:
    """Return `clip`, encoded and damaged."""
    frames, options = load_frames(clip, stop=protocol.max_pictures), protocol.encoder_options
    stream = encode_h264(frames, crf=protocol.crf, gop=protocol.gop, options=options, crop_odd=True)
    broken, _ = damage_all(stream, damage_of(protocol, seed))
    truth, coded = decode(stream), decode(broken)
    clean = truth.clip.frames
    notes: tuple[str, ...] = ()
    if not np.array_equal(coded.clip.decode_index, truth.clip.decode_index):
        places = align_clips(coded, truth)
        if places is None:
            raise InputError("which pictures of the clean stream are left cannot be told")
        clean = clean[places]
        notes = (f"{len(truth.clip) - len(coded.clip)} access units are gone: the others are judged",)
    return Twin(clip.stem, seed, clean, coded, mask_truth(coded.clip.frames, clean), notes)


def _from_dataset(source: DatasetClip, protocol: Protocol) -> Twin:
    if protocol.max_pictures is not None:
        raise ValueError("only footage can be cut short (--max-pictures): clips of a data set are taken whole")
    clip = BscvBranch(source.folder)[source.id]
    if protocol.masks == "given":
        return Twin(clip.id, 0, clip.clean, _coded_pictures(clip), clip.masks, clip.repairs)
    stream = clip.files.damaged_stream
    if stream is None:
        raise InputError(
            f"the protocol {protocol.name} is blind and needs the damaged stream "
            f"({layout.STREAMS}/{clip.id}{layout.DAMAGED_SUFFIX}.h264), which is not there; with pictures and masks "
            "alone take bscv-240p or bscv-native"
        )
    coded, clean_stream = read_coded(stream), clip.files.clean_stream
    # The clean stream's own pictures: published ones are JPEG, beside which every picture would count as damaged.
    clean = clip.clean if clean_stream is None else read(clean_stream).frames
    if coded.clip.frames.shape != clean.shape:
        raise InputError(f"{len(coded.clip)} damaged pictures do not belong to {len(clean)} clean ones")
    masks = clip.masks if clip.masks.shape == clean.shape[:3] else mask_truth(coded.clip.frames, clean)
    return Twin(clip.id, 0, clean, coded, masks, clip.repairs)


def _coded_pictures(clip: BscvClip) -> CodedClip:
    """Return the data set's damaged pictures, with what their stream tells where it is there and fits them."""
    if clip.files.damaged_stream is not None and not clip.missing.any():
        parsed = clip.parsed()
        if parsed.frames.shape == clip.damaged.shape:
            return CodedClip(replace(parsed, frames=clip.damaged), [])
    return CodedClip(blank_clip(clip.damaged, fps=25.0, codec="h264", digest=""), [])


def _without_bitstream(twin: Twin, size: tuple[int, int]) -> Twin:
    """Return pictures, masks and the pictures' status at `size`: else the bitstream speaks of the native size."""
    native = twin.coded.clip
    blank = blank_clip(resize_pictures(native.frames, size), native.fps, native.codec, "")
    return replace(
        twin, clean=resize_pictures(twin.clean, size), masks=resize_masks(twin.masks, size),
        coded=CodedClip(replace(blank, status=native.status), []),
    )  # fmt: skip


def run_twins(
    judge: Callable[[Source, int, list[str], Protocol, Any], list[Any]],
    twins: list[tuple[Source, int]],
    configs: list[str],
    protocol: Protocol,
    build: Callable[[str, Protocol], Any],
    workers: int,
) -> Iterator[list[Any] | str]:
    """Yield what `judge` finds of each twin, as it comes: in this process, or in as many as there are workers.

    For a twin that raises InputError or SpliceError, or in whose process the interpreter died, a sentence is yielded.
    """
    if workers == 1:
        for source, seed in twins:
            yield _attempt(judge, source, seed, configs, protocol, build)
        return
    threads = max(1, torch.get_num_threads() // workers)
    jobs = ((judge, source, seed, configs, protocol, build) for source, seed in twins)
    for job, future in run_jobs(_attempt, jobs, workers, start=partial(_start, threads)):
        try:
            yield future.result()
        except WorkerLostError as error:
            yield f"{name_of(job[1])}, seed {job[2]}: {error}"


def _attempt(judge: Callable[..., list[Any]], source: Source, seed: int, *arguments: Any) -> list[Any] | str:
    try:
        return judge(source, seed, *arguments)
    except InputError as error:
        return f"{name_of(source)}, seed {seed}: {error}"
    except SpliceError as error:
        return f"{name_of(source)}, seed {seed}: can't be spliced ({error}); use --mode auto"


def _start(threads: int) -> None:
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
