"""Time and memory of detection in a made-up clip: ours beside the published schedule, with the same weights.

The published schedule (B2SCVR, section 3.2, as it was released) looks at every picture, forwards in time, in float32: it is
encoded, DINOv2 sees a picture of the vectors as large as SAM's (1036 x 1036 at full size) on every decoder call, and each
picture is remembered. Ours looks at the pictures that the decoder reports, DINOv2 sees one patch a macroblock, and
references are remembered once; where the stream is spliced, the broken ones are all that it looks at.
"""

from __future__ import annotations

import threading
import time
from collections import deque
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
from b2scvr.ops.evidence import picture_evidence
from b2scvr.ops.resize import resize
from b2scvr.registry import MODELS
from b2scvr.types import AccessUnitStatus, ParsedClip

GOP, BROKEN_AT = 8, 3  # of every 8 pictures 3 are intact, one is broken, 4 depend on it
SAMPLE_SECONDS = 0.005  # between two looks at the memory of this process
PUBLISHED, OURS, SPLICE = "published", "ours", "splice"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


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
    network: Detector, lengths: list[int], size: tuple[int, int], dtype: str = "fp32", published: bool = True
) -> list[DetectionTiming]:
    """Return the timings of our schedules for clips of `lengths` pictures of `size` (width, height), and of the published
    one for the first of them. Raises ValueError for a clip too short to be damaged.

    "ours" judges every damaged picture, as recovery in frames mode asks; "splice" the broken ones, as splicing does.
    """
    if min(lengths) <= BROKEN_AT:
        raise ValueError(f"a clip of {min(lengths)} pictures holds no damaged one: give at least {BROKEN_AT + 1}")
    device = next(network.parameters()).device
    detector = DamageDetector(network, device, DTYPES[dtype])
    work: list[tuple[str, str, int, Callable[[ParsedClip], int]]] = []
    if published:
        work.append((PUBLISHED, "fp32", lengths[0], lambda clip: published_schedule(network, clip)))
    work += [(OURS, dtype, length, lambda clip: our_schedule(detector, clip)) for length in lengths]
    work += [(SPLICE, dtype, length, lambda clip: splice_schedule(detector, clip)) for length in lengths]
    if device.type == "cuda" or min(lengths) >= 4 * GOP:  # what only the first call costs is paid before
        for _, _, _, run in work[: 1 + published]:
            run(made_up_clip(2 * GOP, size))
    return [_measure(*one, size=size, device=device) for one in work]


def our_schedule(detector: DamageDetector, clip: ParsedClip) -> int:
    """Track the clip; return how many pictures the network looked at."""
    for _ in detector.track(clip):
        pass
    return int((clip.status != AccessUnitStatus.INTACT).sum())


def splice_schedule(detector: DamageDetector, clip: ParsedClip) -> int:
    """Judge the broken pictures of the clip; return how many they are."""
    broken = np.flatnonzero(clip.status == AccessUnitStatus.BROKEN)
    for slot in broken:
        detector.detect(surroundings(clip, int(slot)))
    return len(broken)


@torch.inference_mode()
def published_schedule(network: Detector, clip: ParsedClip) -> int:
    """Segment every picture from the memory of those before it; return how many they are.

    Only the parts that both detectors have are run: SAM's, DINOv2, the tokens and the neck.
    """
    device = next(network.parameters()).device
    patches = -(-network.sam.image_size // PATCH_PX)
    memories: deque[tuple[Tensor, Tensor]] = deque(maxlen=max(1, network.num_memories))
    for slot in range(len(clip)):
        broken = bool(clip.status[slot] == AccessUnitStatus.BROKEN)
        evidence = torch.from_numpy(picture_evidence(clip, slot, broken))[None].to(device)
        features = network.sam.encode(pictures_to_tensor(clip.frames[slot])[None].to(device))
        tokens = network.tokens(resize(evidence, (patches, patches)))
        memory = network.sam.remember(features)
        image = network.neck(network.sam.attend(features, list(memories) or [memory]), tokens)
        mask, *_ = network.sam.decode(image, features, None, None)
        mask.cpu()
        memories.appendleft(memory)
    return len(clip)


def made_up_clip(frames: int, size: tuple[int, int]) -> ParsedClip:
    """Return a clip of a moving texture, of which the lower quarter of each broken picture is concealed."""
    width, height = size
    coarse = np.random.default_rng(0).random((height // 16 + 1, width // 16 + 1, 3), np.float32)
    picture = (coarse.repeat(16, 0).repeat(16, 1)[:height, :width] * 255).astype(np.uint8)
    clip = blank_clip(np.stack([np.roll(picture, slot, 1) for slot in range(frames)]), 25.0, "h264", "")
    place = np.arange(frames) % GOP
    clip.status[place == BROKEN_AT] = AccessUnitStatus.BROKEN
    clip.status[place > BROKEN_AT] = AccessUnitStatus.DEPENDENT
    clip.decode_index[:] = np.arange(frames)
    clip.is_key[place == 0], clip.slice_start[:, 0, 0] = True, True
    rows = clip.concealed.shape[1]
    clip.concealed[place == BROKEN_AT, rows - max(1, rows // 4) :] = True
    clip.damage_trace[place >= BROKEN_AT, rows // 2 :] = 1
    clip.mv_past[..., 0], clip.mv_past_valid[place > 0] = -1, True
    return clip


def _measure(
    schedule: str,
    dtype: str,
    frames: int,
    run: Callable[[ParsedClip], int],
    size: tuple[int, int],
    device: torch.device,
) -> DetectionTiming:
    clip = made_up_clip(frames, size)
    with _peak_memory(device) as peak:
        start, cpu = time.perf_counter(), time.process_time()
        looked_at = run(clip)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    return DetectionTiming(schedule, dtype, frames, looked_at, seconds, cpu_seconds, peak())


@contextmanager
def _peak_memory(device: torch.device) -> Iterator[Callable[[], int]]:
    """Watch the memory; what is yielded returns by how many bytes it grew at most, once the block is left."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield lambda: torch.cuda.max_memory_allocated(device) - before
        return
    most = before = _resident_bytes()
    left = threading.Event()

    def watch() -> None:
        nonlocal most
        while not left.wait(SAMPLE_SECONDS):
            most = max(most, _resident_bytes())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield lambda: most - before
    finally:
        left.set()
        watcher.join()


def _resident_bytes() -> int:
    """Resident memory of this process (proc(5): /proc/self/statm); 0 where the system does not tell."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return 0
    import resource  # not on every system, as that file

    return int(statm.read_text().split()[1]) * resource.getpagesize()
