"""The detection benchmark: what is run, not how long it takes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from b2scvr.engine import detect_benchmark as benchmark
from b2scvr.types import AccessUnitStatus

ROOT = Path(__file__).resolve().parents[2]
SMALL = ROOT / "configs" / "dac" / "ablation" / "all.py"


@pytest.fixture(scope="module")
def network():
    return benchmark.build_detector(SMALL)


def test_the_clip_is_a_clip():
    clip = benchmark.made_up_clip(18, (70, 50)).validate()
    assert [int(s) for s in clip.status[:8]] == [AccessUnitStatus.INTACT] * 7 + [AccessUnitStatus.BROKEN]
    assert (clip.status[8:16] == AccessUnitStatus.DEPENDENT).all() and clip.status[16] == AccessUnitStatus.INTACT
    assert clip.concealed[7, -1].all() and not clip.concealed[7, 0].any() and not clip.concealed[8].any()
    assert not np.array_equal(clip.frames[0], clip.frames[1])


def test_both_schedules_use_the_same_weights_and_ours_looks_at_what_is_damaged(network):
    looks = []
    handle = network.neck.register_forward_hook(lambda *_: looks.append(1))
    try:
        published, ours, splice = benchmark.measure_detection(network, [9], (64, 48), published=3)
    finally:
        handle.remove()
    assert (published.schedule, published.looked_at, ours.schedule, ours.looked_at) == ("published", 3, "ours", 2)
    assert (splice.schedule, splice.looked_at) == ("splice", 1)
    assert len(looks) == 6
    assert ours.frames_per_second > 0 and ours.cpu_seconds > 0 and ours.peak_bytes >= 0


def test_the_published_schedule_shows_dinov2_a_picture_as_large_as_sam_s(network):
    shapes = []
    handle = network.tokens.embedder.register_forward_hook(lambda _, given, __: shapes.append(given[0].shape[-2:]))
    try:
        assert list(benchmark.published_schedule(network, benchmark.made_up_clip(2, (64, 48)))) == [True, True]
    finally:
        handle.remove()
    assert network.sam.image_size == 128 and shapes == [torch.Size((10, 10))] * 2


def test_the_published_schedule_attends_to_seven_memories(network):
    places = []
    handle = network.sam.memory_attention.register_forward_pre_hook(
        lambda _, __, given: places.append((len(given["curr"]), len(given["memory"]))), with_kwargs=True
    )
    try:
        assert list(benchmark.published_schedule(network, benchmark.made_up_clip(2, (64, 48)))) == [True, True]
    finally:
        handle.remove()
    assert places == [(64, 7 * 64)] * 2


def test_options_change_the_network():
    assert benchmark.build_detector(SMALL, options=["dac.sam.image_size=64"]).sam.image_size == 64


def test_other_detectors_and_clips_without_damage_are_refused(network):
    with pytest.raises(ValueError, match="timed are configs with dac=Detector"):
        benchmark.build_detector(ROOT / "configs" / "vector_fill.py")
    with pytest.raises(ValueError, match="holds no damaged one"):
        benchmark.measure_detection(network, [7], (64, 48))
    with pytest.raises(ValueError, match="1 to 15 of every 16 pictures are damaged, got 16"):
        benchmark.measure_detection(network, [16], (64, 48), damaged=16)
