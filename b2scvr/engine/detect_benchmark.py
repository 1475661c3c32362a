"""Time and memory of detection in a made-up clip: ours beside the published schedule, with the same weights.

The published schedule (B2SCVR, section 3.2, as it was released) looks at every picture, forwards in time, in float32: it is
encoded, DINOv2 sees a picture of the vectors as large as SAM's (1036 x 1036 at full size) on every decoder call, and each
picture is remembered and attends to seven memories. Ours looks at the pictures that the decoder reports, DINOv2 sees one
patch a macroblock, references are remembered once and three are attended to; where the stream is spliced, the broken ones
are all that it looks at. All pictures of the published schedule cost the same, so few are enough to time it. The schedules
take turns, picture by picture: a machine that is slower for a while is so for all of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from b2scvr.backbones.dinov2 import PATCH_PX
from b2scvr.bitstream.assembly import blank_clip
from b2scvr.config import load_config
from b2scvr.dac import DamageDetector, Detector
from b2scvr.fill import surroundings
from b2scvr.ops.batch import pictures_to_tensor
from b2scvr.ops.compute import pick_dtype
from b2scvr.ops.evidence import picture_evidence
from b2scvr.ops.resize import resize
from b2scvr.registry import MODELS
from b2scvr.types import AccessUnitStatus, ParsedClip

GOP = 16  # pictures; BSCV's
DAMAGED = 9  # of them; BSCV's branch 144096 has 8.5 on average, see recover_benchmark.damage_of_branch
PUBLISHED_MEMORIES = 7  # num_maskmem of SAM 2.1, as released
SAMPLE_SECONDS = 0.005  # between two looks at the memory of this process
PUBLISHED, OURS, SPLICE = "published", "ours", "splice"


@dataclass(frozen=True)
class DetectionTiming:
    """What a schedule took for a clip."""

    schedule: str
    dtype: str
    frames: int
    looked_at: int  # pictures that the network saw
    seconds: float
    cpu_seconds: float  # of the process, all threads
    peak_bytes: int  # beyond the weights and the clip: resident memory, or the device's

    @property
    def frames_per_second(self) -> float:
        """Pictures of the clip, looked at or not, by wall clock."""
        return self.frames / self.seconds

    @property
    def cpu_seconds_per_frame(self) -> float:
        """Of all threads, for a picture of the clip, looked at or not."""
        return self.cpu_seconds / self.frames


def build_detector(config: Path, device: str = "cpu", options: list[str] | None = None) -> Detector:
    """Return the detector of a config, `options` ("key=value") applied, with random weights.

    Raises ValueError when it has another kind of detector.
    """
    section = load_config(config, options)["dac"]
    torch.manual_seed(0)
    network = MODELS.build(section)
    if not isinstance(network, Detector):
        raise ValueError(f"{config}: dac={section['type']}; timed are configs with dac=Detector")
    return network.to(device).eval()


def measure_detection(
    network: Detector,
    lengths: list[int],
    size: tuple[int, int],
    dtype: str = "fp32",
    published: int | None = None,
    damaged: int = DAMAGED,
) -> list[DetectionTiming]:
    """Return the timings of our schedules for clips of `lengths` pictures of `size` (width, height), behind the published one.

    published: pictures that it is timed on, 0: it is left out, None: as many as the first clip has. damaged: pictures of
    every 16. "ours" judges all of these, as recovery in frames mode asks; "splice" the broken ones, as splicing does.
    Raises ValueError for a clip too short to be damaged.
    """
    if not 0 < damaged < GOP:
        raise ValueError(f"1 to {GOP - 1} of every {GOP} pictures are damaged, got {damaged}")
    if min(lengths) <= GOP - damaged:
        raise ValueError(f"a clip of {min(lengths)} pictures holds no damaged one: give at least {GOP - damaged + 1}")
    device = next(network.parameters()).device

    def detector() -> DamageDetector:  # a new one each time: it remembers what it saw
        return DamageDetector(network, device, pick_dtype(dtype))

    published = lengths[0] if published is None else published
    with torch.inference_mode():  # what only the first call costs is paid before
        network.remember(torch.zeros(1, 3, size[1], size[0], device=device))
    if device.type == "cuda":
        clip = made_up_clip(GOP, size, damaged)
        for steps in (our_schedule(detector(), clip), published_schedule(network, clip)):
            list(steps)
    runs = []
    if published:
        clip = made_up_clip(published, size, damaged)
        runs.append(_Run(PUBLISHED, "fp32", clip, published_schedule(network, clip)))
    for clip in [made_up_clip(length, size, damaged) for length in lengths]:
        runs.append(_Run(OURS, dtype, clip, our_schedule(detector(), clip)))
        runs.append(_Run(SPLICE, dtype, clip, splice_schedule(detector(), clip)))
    _take_turns(runs, device)
    return [run.timing() for run in runs]


def our_schedule(detector: DamageDetector, clip: ParsedClip) -> Iterator[bool]:
    """Track the clip; yield for each picture whether the network looked at it."""
    for slot, _ in enumerate(detector.track(clip)):
        yield bool(clip.status[slot] != AccessUnitStatus.INTACT)


def splice_schedule(detector: DamageDetector, clip: ParsedClip) -> Iterator[bool]:
    """Judge the broken pictures of the clip; yield for each picture whether it is one."""
    for slot, status in enumerate(clip.status):
        if status == AccessUnitStatus.BROKEN:
            detector.detect(surroundings(clip, slot))
        yield bool(status == AccessUnitStatus.BROKEN)


@torch.inference_mode()
def published_schedule(network: Detector, clip: ParsedClip) -> Iterator[bool]:
    """Segment every picture from the memory of those before it; yield True for each.

    Only the parts that both detectors have are run: SAM's, DINOv2, the tokens and the neck. The memory is full from the
    first picture on, as in the midst of a clip.
    """
    device = next(network.parameters()).device
    patches = -(-network.sam.image_size // PATCH_PX)
    memories: list[tuple[Tensor, Tensor]] = []
    for slot in range(len(clip)):
        broken = bool(clip.status[slot] == AccessUnitStatus.BROKEN)
        evidence = torch.from_numpy(picture_evidence(clip, slot, broken))[None].to(device)
        features = network.sam.encode(pictures_to_tensor(clip.frames[slot])[None].to(device))
        tokens = network.tokens(resize(evidence, (patches, patches)))
        memory = network.sam.remember(features)
        memories = (memories or [memory] * PUBLISHED_MEMORIES)[:PUBLISHED_MEMORIES]
        # As one of seven times the height: ours has places in time for fewer.
        bank = tuple(torch.cat(parts, 2) for parts in zip(*memories, strict=True))
        image = network.neck(network.sam.attend(features, [(bank[0], bank[1])]), tokens)
        mask, *_ = network.sam.decode(image, features, None, None)
        mask.cpu()
        memories = [memory, *memories]
        yield True


def made_up_clip(frames: int, size: tuple[int, int], damaged: int = DAMAGED) -> ParsedClip:
    """Return a clip of a moving texture. The last `damaged` of every 16 pictures are: one broken, the others depend on it.

    The lower quarter of each broken picture is concealed.
    """
    width, height = size
    coarse = np.random.default_rng(0).random((height // 16 + 1, width // 16 + 1, 3), np.float32)
    picture = (coarse.repeat(16, 0).repeat(16, 1)[:height, :width] * 255).astype(np.uint8)
    clip = blank_clip(np.stack([np.roll(picture, slot, 1) for slot in range(frames)]), 25.0, "h264", "")
    place, broken = np.arange(frames) % GOP, GOP - damaged
    clip.status[place == broken] = AccessUnitStatus.BROKEN
    clip.status[place > broken] = AccessUnitStatus.DEPENDENT
    clip.decode_index[:] = np.arange(frames)
    clip.is_key[place == 0], clip.slice_start[:, 0, 0] = True, True
    rows = clip.concealed.shape[1]
    clip.concealed[place == broken, rows - max(1, rows // 4) :] = True
    clip.damage_trace[place >= broken, rows // 2 :] = 1
    clip.mv_past[..., 0], clip.mv_past_valid[place > 0] = -1, True
    return clip


@dataclass
class _Run:
    """A schedule on its way through a clip, and what it took so far."""

    schedule: str
    dtype: str
    clip: ParsedClip
    steps: Iterator[bool]
    done: int = 0
    looked_at: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0

    def step(self, device: torch.device, before: int) -> None:
        """Go one picture on. before: bytes that were in use before all runs."""
        with _peak_memory(device) as peak:
            start, cpu = time.perf_counter(), time.process_time()
            self.looked_at += next(self.steps)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            self.seconds += time.perf_counter() - start
            self.cpu_seconds += time.process_time() - cpu
        self.done += 1
        self.peak_bytes = max(self.peak_bytes, peak() - before)

    def share(self) -> float:
        """How much of its damaged pictures is done, 0 to 1."""
        kinds = {OURS: self.clip.status != AccessUnitStatus.INTACT, SPLICE: self.clip.status == AccessUnitStatus.BROKEN}
        return (
            self.looked_at / int(kinds[self.schedule].sum()) if self.schedule in kinds else self.done / len(self.clip)
        )

    def timing(self) -> DetectionTiming:
        """Return what it took."""
        return DetectionTiming(
            self.schedule, self.dtype, self.done, self.looked_at, self.seconds, self.cpu_seconds, self.peak_bytes
        )


def _take_turns(runs: list[_Run], device: torch.device) -> None:
    """Run all to their ends, the one that is farthest from its own next."""
    before = _bytes_in_use(device)
    while live := [run for run in runs if run.done < len(run.clip)]:
        min(live, key=_Run.share).step(device, before)


@contextmanager
def _peak_memory(device: torch.device) -> Iterator[Callable[[], int]]:
    """Watch the memory; what is yielded returns the most bytes in use, once the block is left."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield lambda: torch.cuda.max_memory_allocated(device)
        return
    most = _bytes_in_use(device)
    left = threading.Event()

    def watch() -> None:
        nonlocal most
        while not left.wait(SAMPLE_SECONDS):
            most = max(most, _bytes_in_use(device))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield lambda: most
    finally:
        left.set()
        watcher.join()


def _bytes_in_use(device: torch.device) -> int:
    """Memory of the device, or resident memory of this process (proc(5): /proc/self/statm); 0 where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return 0
    import resource  # not on every system, as that file

    return int(statm.read_text().split()[1]) * resource.getpagesize()
