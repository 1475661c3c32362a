"""Training samples from clean footage: treat, encode, cut the bitstream, decode both streams, keep the broken pictures.

clip -> variant -> x264 -> clean stream  -> decode -> target
                     `---> damaged stream -> decode -> surroundings of each broken picture, mask, wrong
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from b2scvr.bitstream.damage import CutModel, damage
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.reader import CodedClip, decode
from b2scvr.bitstream.repair import next_broken, restore_vectors
from b2scvr.bitstream.video import video_shape
from b2scvr.data.clip_sample import ClipSample, clip_sample
from b2scvr.data.sample import TrainingSample
from b2scvr.data.variants import Variant, clip_generator, draw_variant, load_variant
from b2scvr.fill import surroundings
from b2scvr.ops.masks import damage_mask
from b2scvr.types import MB_SIZE, AccessUnitStatus, ParsedClip

GOP = 16  # BSCV's
DEBLOCK_REACH = 4  # samples at the right and lower edge that filtering later macroblocks can change (H.264 8.7)
logger = logging.getLogger(__name__)


@dataclass
class CodedPair:
    """A clean stream and its damaged twin, decoded; the same access units in the same display order."""

    clean: CodedClip
    damaged: CodedClip


def clip_variant(path: Path, seed: int, round_index: int = 0) -> Variant:
    """Return the treatment of the clip at `path` that belongs to (seed, clip name, round_index)."""
    return draw_variant(clip_generator(seed, path.name, round_index), *video_shape(path))


def make_samples(
    path: Path, seed: int, round_index: int = 0, dependents: float = 0.0, clips: bool = False
) -> Iterator[TrainingSample | ClipSample]:
    """Yield the samples of one treatment (`clip_variant`) of the clip at `path`; clips: and the whole of it.

    One sample for the first broken picture (in decoding order) of each IDR period: what is broken after it is seen by
    the networks only once the first is repaired. With probability `dependents` each brings along a dependent picture,
    for the frames mode. The same arguments give the same samples.
    """
    variant = clip_variant(path, seed, round_index)
    cut = CutModel(variant.slices_per_gop, GOP, variant.position, variant.cut_bytes, variant.damage_seed)
    try:
        pair = make_pair(load_variant(path, variant), cut, variant.crf, variant.options)
    except MisalignedPairError as error:
        logger.warning("%s, round %d: left out, %s", path.name, round_index, error)
        return
    rng = np.random.default_rng(variant.damage_seed)
    for index in chosen_pictures(pair.damaged.clip, rng, dependents):
        yield make_sample(pair, index)
    if clips:
        yield clip_sample(pair.damaged.clip, pair.clean.clip.frames)


class MisalignedPairError(Exception):
    """The damaged stream's access units can't be matched to the clean one's (a cut formed a start code, say)."""


def make_pair(frames: np.ndarray, cut: CutModel, crf: float, options: dict[str, str] | None = None) -> CodedPair:
    """Encode `frames` uint8 [T, H, W, 3] in the GOPs that `cut` counts in, damage the stream, decode both.

    The damaged clip gets the vectors that were sent, as in recovery. Raises MisalignedPairError when the two streams do
    not hold the same access units.
    """
    stream = encode_h264(frames, crf=crf, gop=cut.gop, options=options)
    damaged, _ = damage(stream, cut)
    pair = CodedPair(decode(stream), decode(damaged))
    clean_order, damaged_order = pair.clean.clip.decode_index, pair.damaged.clip.decode_index
    if not np.array_equal(clean_order, damaged_order):
        raise MisalignedPairError(f"{len(clean_order)} and {len(damaged_order)} access units, or in another order")
    restore_vectors(pair.damaged, decode)
    return pair


def make_sample(pair: CodedPair, index: int) -> TrainingSample:
    """Return the sample of the damaged picture at display index `index`."""
    return sample_with_target(pair.damaged.clip, index, pair.clean.clip.frames[index])


def sample_with_target(damaged: ParsedClip, index: int, target: np.ndarray) -> TrainingSample:
    """Return the sample of the picture at display index `index` whose true picture is `target`, uint8 [H, W, 3]."""
    around = surroundings(damaged, index)
    return TrainingSample(
        around, target, damage_mask(around.decoded, target), wrong_macroblocks(around.decoded, target)
    )


def chosen_pictures(clip: ParsedClip, rng: np.random.Generator, dependents: float = 0.0) -> list[int]:
    """Return the display indices to make samples of: the broken pictures that recovery sees first, then dependents.

    dependents: chance, for each broken picture chosen, of one dependent picture from anywhere in the clip.
    """
    chosen = next_broken(clip, set())
    others = np.flatnonzero(clip.status == AccessUnitStatus.DEPENDENT)
    wanted = min(int((rng.random(len(chosen)) < dependents).sum()), len(others))
    return chosen + sorted(int(i) for i in rng.choice(others, wanted, replace=False))


def wrong_macroblocks(decoded: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Return bool [h, w]: macroblocks whose pixels differ at all between the two pictures, uint8 [H, W, 3].

    The last DEBLOCK_REACH rows and columns of each macroblock are not looked at: the deblocking filter carries errors
    of later macroblocks there, and a macroblock that was decoded rightly before the cut must not count as wrong.
    """
    if decoded.shape != clean.shape:
        raise ValueError(f"decoded {list(decoded.shape)} and clean {list(clean.shape)} are not the same picture")
    differs = (decoded != clean).any(axis=2)
    height, width = differs.shape
    padded = np.pad(differs, ((0, -height % MB_SIZE), (0, -width % MB_SIZE)))
    blocks = padded.reshape(padded.shape[0] // MB_SIZE, MB_SIZE, padded.shape[1] // MB_SIZE, MB_SIZE)
    inner = MB_SIZE - DEBLOCK_REACH
    return np.any(blocks[:, :inner, :, :inner], axis=(1, 3))
