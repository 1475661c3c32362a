"""Training samples from a branch of BSCV: the same as `data.pairs` makes from clean footage, of damage that is given.

GT_h264 -> decode -> true pictures -.
BSC_h264 -> parse, sent vectors ----+-> surroundings of each broken picture, mask, wrong macroblocks
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from b2scvr.bitstream.assembly import CodedClip
from b2scvr.bitstream.reader import decode, read_coded
from b2scvr.bitstream.repair import restore_vectors
from b2scvr.data.bscv import layout
from b2scvr.data.bscv.align_units import align_clips
from b2scvr.data.bscv.load import BscvBranch, ClipFiles, clip_files
from b2scvr.data.cache import CacheSettings
from b2scvr.data.clip_sample import ClipSample, clip_sample
from b2scvr.data.pairs import chosen_pictures, sample_with_target
from b2scvr.data.sample import TrainingSample
from b2scvr.data.variants import clip_generator
from b2scvr.types import InputError, SpliceError


@dataclass(frozen=True)
class BscvCacheSettings(CacheSettings):
    """As for clean footage, and the names of the branches, so that the samples of others are not mixed in."""

    branches: str = ""


@dataclass(frozen=True)
class BscvJob:
    """The samples of one clip of one branch, for `data.cache`."""

    branch: Path
    clip: str
    round: int  # number of the branch

    @property
    def name(self) -> str:
        return f"{self.branch.name}_{self.clip}"

    def samples(self, settings: CacheSettings) -> Iterator[TrainingSample | ClipSample]:
        files = clip_files(self.branch, self.clip)
        rng = clip_generator(settings.seed, self.clip, self.round)
        return make_bscv_samples(files, rng, settings.dependents, settings.clips)

    def described(self, settings: CacheSettings) -> dict[str, object]:
        return {"branch": self.branch.name}


def bscv_jobs(branches: list[Path]) -> list[BscvJob]:
    """Return the jobs of all clips of the branches' folders, for `data.cache.build_cache`.

    Raises InputError for a folder without clips, or two folders of one name.
    """
    names = [folder.resolve().name for folder in branches]
    if len(set(names)) < len(names):
        raise InputError(f"{', '.join(map(str, branches))}: two folders of one name would be mixed up")
    return [
        BscvJob(folder.resolve(), clip, number)
        for number, folder in enumerate(branches)
        for clip in BscvBranch(folder).ids
    ]


def make_bscv_samples(
    files: ClipFiles, rng: np.random.Generator, dependents: float = 0.0, clips: bool = False
) -> Iterator[TrainingSample | ClipSample]:
    """Yield the samples of one clip: its first broken picture of each IDR period, and dependent ones by chance.

    clips: and the whole of it. rng, dependents: as in `data.pairs.chosen_pictures`. Raises InputError as `coded_pair` does.
    """
    damaged, truth = coded_pair(files)
    for index in chosen_pictures(damaged.clip, rng, dependents):
        yield sample_with_target(damaged.clip, index, truth[index])
    if clips:
        yield clip_sample(damaged.clip, truth)


def coded_pair(files: ClipFiles) -> tuple[CodedClip, np.ndarray]:
    """Return the parsed damaged stream, with the vectors that were sent, and the true pictures [T, H, W, 3] of its slots.

    Where it does not hold all access units of the clean stream (a cut of the published generator can take a start code
    along), those that it holds are found by their bytes. Raises InputError when a stream is absent, cannot be read or
    cannot be used for training.
    """
    if files.damaged_stream is None or files.clean_stream is None:
        absent = [
            name
            for name, path in (
                (f"{layout.STREAMS}/{files.id}{layout.DAMAGED_SUFFIX}.h264", files.damaged_stream),
                (f"{layout.TRUTH_STREAMS}/{files.id}.h264", files.clean_stream),
            )
            if path is None
        ]
        raise InputError(
            f"{files.id}: training needs {' and '.join(absent)} (clean streams: here or in {layout.TRUTH_BRANCH} beside it)"
        )
    damaged, clean = read_coded(files.damaged_stream), read_coded(files.clean_stream)
    if damaged.clip.frames.shape[1:] != clean.clip.frames.shape[1:]:
        raise InputError(f"{files.id}: its damaged and clean streams are of different sizes")
    truth = clean.clip.frames
    if not np.array_equal(damaged.clip.decode_index, clean.clip.decode_index):
        indices = align_clips(damaged, clean)
        if indices is None:
            raise InputError(f"{files.id}: its damaged stream is not a damaged copy of its clean stream")
        truth = truth[indices]
    try:
        restore_vectors(damaged, decode)
    except SpliceError as error:
        raise InputError(f"{files.id}: its damaged stream cannot be used for training ({error})") from error
    return damaged, truth
