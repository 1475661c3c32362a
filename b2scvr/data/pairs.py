"""Training samples from clean footage: treat, encode, damage the bitstream, decode both streams, keep what recovery restores.

clip -> variant -> x264 -> clean stream  -> decode -> truth
                     `---> damaged stream -> decode -> surroundings of each such picture, mask, wrong
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from b2scvr.bitstream.damage import damage_all, parse_models
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.planes import merge_planes, rgb_to_planes
from b2scvr.bitstream.reader import CodedClip, decode
from b2scvr.bitstream.rebuild import mark_unrestored, rebuild_lost
from b2scvr.bitstream.repair import VECTOR_FIELDS, next_broken, restore_vectors, splice_stream
from b2scvr.bitstream.video import video_shape
from b2scvr.data.bscv.align_units import align_clips
from b2scvr.data.clip_sample import ClipSample, clip_sample
from b2scvr.data.damage_mix import DAMAGE_WEIGHTS
from b2scvr.data.sample import TrainingSample
from b2scvr.data.variants import MOVING_SHARE, Variant, clip_generator, draw_variant, load_variant
from b2scvr.fill import surroundings
from b2scvr.ops.masks import damage_mask
from b2scvr.types import MB_SIZE, AccessUnitStatus, InputError, ParsedClip, Planes, SpliceError

ATTEMPTS = 8  # draws of the damage until it hits a slice
DEBLOCK_REACH = 4  # samples at the right and lower edge that filtering later macroblocks can change (H.264 8.7)
logger = logging.getLogger(__name__)


@dataclass
class CodedPair:
    """A damaged stream as recovery begins with it, and its true pictures.

    Lost access units are rebuilt (bitstream.rebuild), vectors are those that were sent. A picture that predicts from one
    that is not in the stream even so is restored like a broken one.
    """

    damaged: CodedClip
    truth: np.ndarray  # uint8 [T, H, W, 3], of the slots of `damaged`


@dataclass(frozen=True)
class PairDraw:
    """What is drawn for the pairs of clean footage, and what is taken of them. The same draw gives the same samples.

    dependents: chance of a dependent picture, for the frames mode, beside each that splice mode restores. clips: the whole
    damaged clip too. damage: weights of kinds (data.damage_mix). moving: chance of a moving camera. passes: after a pass
    the true pictures are spliced in, and the next ones that recovery would see are taken too. encoder: options of x264 that
    all clips are encoded with, over those that are drawn.
    """

    seed: int = 0
    dependents: float = 0.0
    clips: bool = False
    damage: Mapping[str, float] = field(default_factory=lambda: dict(DAMAGE_WEIGHTS))
    moving: float = MOVING_SHARE
    passes: int = 1
    encoder: Mapping[str, str] = field(default_factory=dict)


def clip_variant(path: Path, draw: PairDraw, round_index: int = 0) -> Variant:
    """Return the treatment of the clip at `path` that belongs to (draw, clip name, round_index)."""
    rng = clip_generator(draw.seed, path.name, round_index)
    variant = draw_variant(rng, *video_shape(path), draw.damage, draw.moving)
    return dataclasses.replace(variant, options={**variant.options, **draw.encoder})


def make_samples(path: Path, draw: PairDraw, round_index: int = 0) -> Iterator[TrainingSample | ClipSample]:
    """Yield the samples of one treatment (`clip_variant`) of the clip at `path`.

    One for the first picture (in decoding order) of each IDR period that recovery would restore: what follows is seen by
    the networks only once the first is repaired. With `draw.passes` above 1 it is, by the truth, and the next ones are taken.
    """
    variant = clip_variant(path, draw, round_index)
    stream = encode_h264(load_variant(path, variant), crf=variant.crf, gop=variant.gop, options=variant.options)
    try:
        pair = pair_streams(stream, damaged_twin(stream, variant))
    except MisalignedPairError as error:
        logger.warning("%s, round %d (%s): left out, %s", path.name, round_index, variant.damage, error)
        return
    yield from samples_of(pair, np.random.default_rng(variant.damage_seed), draw.dependents, draw.passes)
    if draw.clips:
        yield clip_sample(pair.damaged.clip, pair.truth)


class MisalignedPairError(Exception):
    """The damaged stream cannot be used beside the clean one: unreadable, or its access units can't be told."""


def damaged_twin(stream: bytes, variant: Variant) -> bytes:
    """Return `stream` with the variant's damage, drawn again, a few times, where no slice was hit."""
    damaged = stream
    for attempt in range(ATTEMPTS):
        models = parse_models([variant.damage], variant.damage_seed + attempt, {"gop": variant.gop})
        damaged, applied = damage_all(stream, models)
        if any(change.slice >= 0 for made in applied for change in made.changes):
            break
    return damaged


def pair_streams(clean: bytes, damaged: bytes) -> CodedPair:
    """Return the decoded pair of an H.264 stream and its damaged copy; MisalignedPairError where they don't make one."""
    try:
        coded = decode(damaged)
    except InputError as error:
        raise MisalignedPairError(f"the damaged stream cannot be read ({error})") from error
    return pair_up(coded, decode(clean))


def pair_up(damaged: CodedClip, clean: CodedClip) -> CodedPair:
    """Return the pair of two parsed streams, aligned by access units. Raises MisalignedPairError as `pair_streams` does.

    Access units are told by their bytes: where some are gone altogether, the truth is that of the others.
    """
    if damaged.clip.frames.shape[1:] != clean.clip.frames.shape[1:]:
        raise MisalignedPairError("the damaged stream is of another size than the clean one")
    try:
        whole, _ = rebuild_lost(damaged, decode)
        restore_vectors(whole, decode)
    except SpliceError as error:
        raise MisalignedPairError(f"nothing can be put back into the damaged stream ({error})") from error
    slots = align_clips(whole, clean)
    if slots is None or (np.diff(slots) < 1).any():
        raise MisalignedPairError("the access units of the damaged stream are not some of the clean one's")
    return CodedPair(whole, clean.clip.frames[slots])


def samples_of(
    pair: CodedPair, rng: np.random.Generator, dependents: float = 0.0, passes: int = 1
) -> Iterator[TrainingSample]:
    """Yield the samples of a pair, no picture twice; dependents, passes: see `PairDraw`."""
    taken: set[int] = set()
    for number in range(passes):
        chosen = next_broken(pair.damaged.clip, taken)
        beside = draw_dependents(pair.damaged.clip, chosen, taken, rng, dependents)
        for index in chosen + beside:
            yield make_sample(pair, index, restored=index in chosen)
        taken |= {*chosen, *beside}
        if not chosen or number + 1 == passes:
            return
        try:
            pair = repaired_pair(pair, chosen)
        except SpliceError as error:
            logger.warning("no further pass: %s", error)
            return


def draw_dependents(
    clip: ParsedClip, chosen: Collection[int], taken: Collection[int], rng: np.random.Generator, chance: float
) -> list[int]:
    """Return display indices of dependent pictures from anywhere in the clip, one by `chance` for each picture chosen.

    None of those is `chosen` or `taken`.
    """
    others = np.setdiff1d(np.flatnonzero(clip.status == AccessUnitStatus.DEPENDENT), [*chosen, *taken])
    wanted = min(int((rng.random(len(chosen)) < chance).sum()), len(others))
    return sorted(int(i) for i in rng.choice(others, wanted, replace=False))


def repaired_pair(pair: CodedPair, slots: Collection[int]) -> CodedPair:
    """Return the pair with the true pictures spliced into the stream at display indices `slots`.

    Raises SpliceError when a picture cannot be replaced, or the stream then holds another number of them.
    """
    coded, sent = pair.damaged, pair.damaged.clip
    pictures = {slot: _true_planes(pair, slot) for slot in slots}
    repaired = decode(b"".join(splice_stream(coded, pictures)) + coded.suffix)
    if len(repaired.clip) != len(sent):
        raise SpliceError(f"the repaired stream has {len(repaired.clip)} pictures, not {len(sent)}")
    left = [int(slot) for slot in np.flatnonzero(sent.lost) if slot in sent.planes and slot not in slots]
    mark_unrestored(repaired.clip, {slot: sent.planes[slot] for slot in left})
    clip = dataclasses.replace(repaired.clip, **{name: getattr(sent, name) for name in VECTOR_FIELDS})
    return CodedPair(dataclasses.replace(repaired, clip=clip), pair.truth)


def _true_planes(pair: CodedPair, slot: int) -> Planes:
    """Return the decoder's samples of a picture with the true ones wherever a macroblock differs from the truth."""
    clip = pair.damaged.clip
    decoded, truth = clip.planes[slot], pair.truth[slot]
    true = rgb_to_planes(truth, *clip.colour, clip.pixel_format, decoded.interlaced)
    left, _, top, _ = clip.crop
    wrong = wrong_macroblocks(clip.frames[slot], truth, margin=0) | clip.lost[slot]
    return merge_planes(decoded, true, wrong, (top, left))


def make_sample(pair: CodedPair, index: int, restored: bool = True) -> TrainingSample:
    """Return the sample of the damaged picture at display index `index`; restored: splice mode restores it."""
    around, target = dataclasses.replace(surroundings(pair.damaged.clip, index), distrusted=None), pair.truth[index]
    return TrainingSample(
        around,
        target,
        damage_mask(around.decoded, target),
        wrong_macroblocks(around.decoded, target),
        restored,
    )


def wrong_macroblocks(decoded: np.ndarray, clean: np.ndarray, margin: int = DEBLOCK_REACH) -> np.ndarray:
    """Return bool [h, w]: macroblocks whose pixels differ at all between the two pictures, uint8 [H, W, 3].

    The last `margin` rows and columns of each macroblock are not looked at: the deblocking filter carries errors of later
    macroblocks there, and a macroblock that was decoded rightly before the damage must not count as wrong.
    """
    if decoded.shape != clean.shape:
        raise ValueError(f"decoded {list(decoded.shape)} and clean {list(clean.shape)} are not the same picture")
    differs = (decoded != clean).any(axis=2)
    height, width = differs.shape
    padded = np.pad(differs, ((0, -height % MB_SIZE), (0, -width % MB_SIZE)))
    blocks = padded.reshape(padded.shape[0] // MB_SIZE, MB_SIZE, padded.shape[1] // MB_SIZE, MB_SIZE)
    inner = MB_SIZE - margin
    return np.any(blocks[:, :inner, :, :inner], axis=(1, 3))
