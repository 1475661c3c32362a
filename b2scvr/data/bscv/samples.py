"""Training samples from a branch of BSCV: the same as `data.pairs` makes from clean footage, of damage that is given.

GT_h264 -> decode -> true pictures -.
BSC_h264 -> parse, sent vectors ----+-> surroundings of each broken picture, mask, wrong macroblocks
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from b2scvr.bitstream.reader import read_coded
from b2scvr.data.bscv import layout
from b2scvr.data.bscv.load import BscvBranch, ClipFiles, clip_files
from b2scvr.data.cache import CacheSettings
from b2scvr.data.clip_sample import ClipSample, clip_sample
from b2scvr.data.pairs import CodedPair, MisalignedPairError, pair_up, samples_of
from b2scvr.data.sample import TrainingSample
from b2scvr.data.variants import clip_generator
from b2scvr.types import InputError


@dataclass(frozen=True)
class BscvCacheSettings(CacheSettings):
    """As for clean footage, and the names of the branches, so that the samples of others are not mixed in."""

    branches: str = ""
    damage: dict[str, float] = field(default_factory=dict)  # is given
    moving: float = 0.0


@dataclass(frozen=True)
class BscvJob:
    """The samples of one clip of one branch, for `data.cache`."""

    branch: Path
    clip: str
    round: int  # number of the branch

    @property
    def name(self) -> str:
        """See SampleJob."""
        return f"{self.branch.name}_{self.clip}"

    def samples(self, settings: CacheSettings) -> Iterator[TrainingSample | ClipSample]:
        """See SampleJob."""
        files = clip_files(self.branch, self.clip)
        rng = clip_generator(settings.seed, self.clip, self.round)
        return make_bscv_samples(files, rng, settings)

    def described(self, settings: CacheSettings) -> dict[str, object]:
        """See SampleJob."""
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
    files: ClipFiles, rng: np.random.Generator, settings: CacheSettings
) -> Iterator[TrainingSample | ClipSample]:
    """Yield the samples of one clip, as `data.pairs.samples_of` takes them; rng: draws the dependent pictures.

    Raises InputError as `coded_pair` does.
    """
    pair = coded_pair(files)
    yield from samples_of(pair, rng, settings.dependents, settings.passes)
    if settings.clips:
        yield clip_sample(pair.damaged.clip, pair.truth)


def coded_pair(files: ClipFiles) -> CodedPair:
    """Return the pair of a clip's streams.

    Raises InputError when a stream is absent, cannot be read or cannot be used for training.
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
    try:
        return pair_up(read_coded(files.damaged_stream), read_coded(files.clean_stream))
    except MisalignedPairError as error:
        raise InputError(f"{files.id}: cannot be used for training: {error}") from error
