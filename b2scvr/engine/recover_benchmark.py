"""Time, memory and agreement of the full recovery network's schedules on one made-up clip, side by side.

Each schedule runs in a process of its own, so that its peak of memory is its own too.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import tee
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from b2scvr.bitstream.damage.cut import branch
from b2scvr.cfc.clip_restorer import SCHEDULES as OF_CLIPS
from b2scvr.cfc.clip_restorer import ClipRestorer
from b2scvr.cfc.generator import PARTS, RecoveryGenerator
from b2scvr.cfc.splice_windows import SpliceRestorer
from b2scvr.cfc.windows import REACH
from b2scvr.checkpoints.load import load_weights
from b2scvr.config import load_config
from b2scvr.fill.surroundings import BEFORE
from b2scvr.ops.compute import pick_dtype
from b2scvr.registry import MODELS

SPLICE = "splice"
SCHEDULES = (*OF_CLIPS, SPLICE)
GOP = 16  # pictures; BSCV's
WINDOW_REFERENCES = 2  # pictures; what a window of the release has at most, besides its local ones


@dataclass(frozen=True)
class RecoverySetting:
    """What is measured. damaged: share of the pictures with a mask, at the end of each GOP; broken: pictures a GOP that
    lost bits themselves, all that splice mode restores; every: one GOP of so many is damaged; right: share of the rows
    of a damaged picture, from the top, that is right: damage is a suffix in raster order."""

    config: Path
    checkpoint: Path | None  # None: random weights, which take as long
    frames: int
    size: tuple[int, int]  # width, height
    damaged: float
    broken: int = 1
    every: int = 1
    right: float = 0.4
    device: str = "cpu"
    dtype: str = "fp32"
    threads: int | None = None
    overrides: dict[str, object] = field(default_factory=dict)  # of the network's arguments


def damage_of_branch(name: str) -> dict[str, Any]:
    """Return the damaged share, the broken pictures a GOP and the rows that are right, as a branch of BSCV has them on average.

    Of a GOP's pictures P are drawn, and all from the first of them on are damaged: GOP + 1 - (GOP + 1) / (P + 1) pictures.
    ValueError for a branch that is unknown.
    """
    model = branch(name)
    damaged = (GOP + 1) * (1 - 1 / (model.slices_per_gop + 1))
    return {"damaged": damaged / GOP, "broken": model.slices_per_gop, "right": model.position}


@dataclass(frozen=True)
class Measured:
    """What a schedule took. cpu_seconds: of the process, all threads; bytes of the device where there is one."""

    schedule: str
    seconds: float
    cpu_seconds: float
    loaded_bytes: int  # before the first picture: libraries and weights
    peak_bytes: int
    restored: int  # pictures with a mask that came back


def damaged_pictures(setting: RecoverySetting) -> list[int]:
    """Return the display indices of the pictures with a mask."""
    run = round(setting.damaged * GOP)
    return [i for i in range(setting.frames) if i % GOP >= GOP - run and i // GOP % setting.every == 0]


def broken_pictures(setting: RecoverySetting) -> list[int]:
    """Return the display indices of the pictures that lost bits: the first damaged ones of each GOP."""
    run = min(round(setting.damaged * GOP), setting.broken)
    first = GOP - round(setting.damaged * GOP)
    return [i for i in damaged_pictures(setting) if i % GOP < first + run]


def made_up_clip(setting: RecoverySetting) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield picture uint8 [H, W, 3] and mask uint8 [H, W]: waves that move on, damaged in their lower rows."""
    width, height = setting.size
    rows, columns = np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32)
    damaged = set(damaged_pictures(setting))
    for index in range(setting.frames):
        across = np.stack([np.sin((columns + (2 + c) * index) / (7 + 3 * c)) for c in range(3)], -1)
        waves = np.cos((rows - index) / 11)[:, None, None] * across
        mask = np.zeros((height, width), np.uint8)
        if index in damaged:
            mask[round(setting.right * height) :] = 1
        yield (127.5 * (1 + waves)).astype(np.uint8), mask


def measure_schedules(
    setting: RecoverySetting, schedules: Sequence[str], first: Measured | None = None
) -> dict[str, Any]:
    """Return what each schedule took and how it stands to the first one, by name.

    first: what the first schedule took with other damage, when it is not to run again; "published" computes the same
    whatever is damaged. Nothing is compared then but cost.
    "ratios": the first schedule's seconds (CPU) through each other's, "memory": each other's peak beyond what was
    loaded through the first one's; "difference": largest difference of restored pictures from the first one's, in [0, 1],
    and "psnr" in dB; not for "splice", which leaves the dependent pictures to the decoder. Raises ValueError for an unknown
    schedule, or when no picture is damaged.
    """
    check_schedules(schedules)
    if not damaged_pictures(setting):
        raise ValueError(
            f"at {setting.damaged:.0%} damage no picture of the first {setting.frames} is damaged, nothing to measure; damage "
            f"is at the end of every {GOP} pictures, so give at least {GOP} frames"
        )
    leader = schedules[0]
    found = {} if first is None else {leader: first}
    missing = [name for name in schedules if name not in found]
    with tempfile.TemporaryDirectory(prefix="b2scvr-recover-") as folder:
        compared = [name for name in missing if first is None and name != leader and SPLICE not in (leader, name)]
        files = {name: Path(folder) / name for name in (leader, *compared)} if compared else {}
        found |= {name: _in_own_process(setting, name, files.get(name)) for name in missing}
        agreement = {name: _agreement(setting, files[leader], files[name]) for name in compared}
    base = found[leader]
    others = {name: it for name, it in found.items() if name != leader}
    return {
        "measured": {name: vars(it) for name, it in found.items()},
        "ratios": {name: base.cpu_seconds / it.cpu_seconds for name, it in others.items()},
        "memory": {
            name: (it.peak_bytes - it.loaded_bytes) / max(base.peak_bytes - base.loaded_bytes, 1)
            for name, it in others.items()
        },
        "difference": {name: largest for name, (largest, _) in agreement.items()},
        "psnr": {name: ratio for name, (_, ratio) in agreement.items()},
    }


def check_schedules(schedules: Sequence[str]) -> None:
    """Raise ValueError when one of the names is no schedule's."""
    if unknown := [name for name in schedules if name not in SCHEDULES]:
        raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, got {', '.join(unknown)}")


def measure_schedule(setting: RecoverySetting, schedule: str, file: Path | None = None) -> Measured:
    """Run one schedule in this process. file: where the pictures go, float32 [T, H, W, 3] in levels, without a header."""
    if setting.threads:
        torch.set_num_threads(setting.threads)
    network = _network(setting)
    device = torch.device(setting.device)
    dtype = pick_dtype(setting.dtype)
    if schedule == SPLICE:
        work = partial(_splice, SpliceRestorer(network.to(device).eval(), dtype), setting, device)
    else:
        restorer = ClipRestorer(network, schedule, device, dtype, truncate=False)
        work = partial(_restore, restorer, setting, file)
    loaded = _resident(device)
    start, cpu = time.perf_counter(), time.process_time()
    restored = work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    spent = time.perf_counter() - start, time.process_time() - cpu
    return Measured(schedule, *spent, loaded, _peak(device), restored)


def measure_parts(setting: RecoverySetting) -> dict[str, float]:
    """Return the CPU seconds of each part of the network in one whole published window, "all" of it included.

    The window has 2 * REACH + 1 local pictures, all damaged, and WINDOW_REFERENCES others.
    """
    if setting.threads:
        torch.set_num_threads(setting.threads)
    network = _network(setting).eval()
    spent: dict[str, float] = {}
    for name in PARTS:
        if getattr(network, name) is not None:
            _time(getattr(network, name), name, spent)
    width, height = setting.size
    local = 2 * REACH + 1
    pictures = torch.rand(1, local + WINDOW_REFERENCES, 3, height, width)
    masks = torch.zeros_like(pictures[:, :, :1])
    masks[:, :local, :, round(setting.right * height) :] = 1
    start = time.process_time()
    with torch.inference_mode():
        network(pictures, masks, local)
    return {**spent, "all": time.process_time() - start}


def _time(module: nn.Module, name: str, spent: dict[str, float]) -> None:
    """Add the CPU seconds of each call of `module` to spent[name]."""
    started: list[float] = []
    module.register_forward_pre_hook(lambda *_: started.append(time.process_time()))

    def finish(*_: object) -> None:
        spent[name] = spent.get(name, 0.0) + time.process_time() - started.pop()

    module.register_forward_hook(finish)


def _network(setting: RecoverySetting) -> RecoveryGenerator:
    torch.manual_seed(0)
    network = MODELS.build({**load_config(setting.config)["cfc"], **setting.overrides})
    if not isinstance(network, RecoveryGenerator):
        raise ValueError(f"{setting.config}: schedules are of RecoveryGenerator, not of {type(network).__name__}")
    if setting.checkpoint is not None:
        load_weights(setting.checkpoint, {"cfc": network})
    return network


def _restore(restorer: ClipRestorer, setting: RecoverySetting, file: Path | None) -> int:
    pictures, masks = tee(made_up_clip(setting))  # read side by side: nothing piles up
    levels_of_clip = restorer.restore_levels((picture for picture, _ in pictures), (mask for _, mask in masks))
    # Written, not mapped: pages of a mapped file would count as memory.
    with nullcontext() if file is None else file.open("wb") as out:
        for levels in levels_of_clip:
            if out is not None:
                out.write(levels.astype(np.float32).tobytes())
    return len(damaged_pictures(setting))


def _splice(splicer: SpliceRestorer, setting: RecoverySetting, device: torch.device) -> int:
    """Restore the broken pictures, each from repaired ones before it and the next key picture."""
    clip = [(torch.from_numpy(picture).permute(2, 0, 1).float() / 255, mask) for picture, mask in made_up_clip(setting)]
    broken = broken_pictures(setting)
    for index in broken:
        key = min((index // GOP + 1) * GOP, setting.frames - 1)
        slots = [*(max(index - step, 0) for step in range(BEFORE, 0, -1)), index, key]
        window = torch.stack([clip[slot][0] for slot in slots])[None].to(device)
        mask = torch.from_numpy(clip[index][1]).float()[None, None].to(device)
        clip[index] = (splicer.restore_picture(window, BEFORE, mask)[0].cpu(), clip[index][1])
    return len(broken)


def _in_own_process(setting: RecoverySetting, schedule: str, file: Path | None) -> Measured:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure_schedule, setting, schedule, file).result()


def _agreement(setting: RecoverySetting, first: Path, other: Path) -> tuple[float, float]:
    """Return the largest difference of two clips in [0, 1], and their PSNR in dB."""
    shape = (setting.frames, setting.size[1], setting.size[0], 3)
    pair = [np.memmap(path, np.float32, "r", shape=shape) for path in (first, other)]
    differences = [np.abs(a.astype(np.float64) - b) / 255 for a, b in zip(*pair, strict=True)]
    mean = float(np.mean([(difference**2).mean() for difference in differences]))
    return float(max(difference.max() for difference in differences)), -10 * float(np.log10(max(mean, 1e-20)))


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _resident(device: torch.device) -> int:
    """Return what is in use before the work begins; the highest so far, where a process cannot tell."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else _peak(device)
