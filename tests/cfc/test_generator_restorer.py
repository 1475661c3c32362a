"""The full network for the pipeline: one broken picture, and whole clips at their own or another size."""

import dataclasses

import numpy as np
import pytest
import torch

from b2scvr.bitstream.assembly import blank_clip
from b2scvr.cfc import GeneratorRestorer, MaskedClip, PictureRestorer, make_restorer
from b2scvr.cfc.clip_restorer import ClipRestorer
from b2scvr.cfc.generator_restorer import clip_vectors
from b2scvr.cfc.splice_windows import SpliceRestorer
from b2scvr.types import AccessUnitStatus, array_fields


def restored(restorer, clip, masks, size=None):
    """The pictures of a clip that is one part."""
    return np.stack(list(restorer.restore_clips([MaskedClip(clip, masks, slice(0, len(clip)))], size)))


@pytest.fixture
def clip():
    rng = np.random.default_rng(0)
    masks = np.zeros((7, 24, 36), np.uint8)
    masks[2:5, 6:15, 4:20] = 1
    return rng.integers(0, 256, (7, 24, 36, 3), np.uint8), masks


@pytest.mark.parametrize("preset", ["official", "corrected"])
@pytest.mark.parametrize("current", [0, 2, 3])
def test_a_broken_picture_is_restored_as_by_the_whole_network(generator, scene, preset, current):
    network = generator(preset)
    window, mask = scene(local=4)
    with torch.inference_mode():
        expected = network.restore_picture(window, current, mask[:, 0])
    found = SpliceRestorer(network).restore_picture(window, current, mask[:, 0])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    assert not torch.equal(found, window[:, current])


def test_a_batch_and_an_empty_mask(generator, scene):
    network = generator()
    restorer = SpliceRestorer(network)
    window, mask = scene(2, local=4)
    with torch.inference_mode():
        torch.testing.assert_close(
            restorer.restore_picture(window, 1, mask[:, 0]), network.restore_picture(window, 1, mask[:, 0])
        )
    assert torch.equal(restorer.restore_picture(window[:1], 1, 0 * mask[:1, 0]), window[:1, 1])


def test_each_network_has_its_restorer(generator, build):
    assert isinstance(make_restorer(generator(), schedule="fast"), GeneratorRestorer)
    assert type(make_restorer(build())) is PictureRestorer


def test_a_clip_at_its_own_size(generator, clip):
    pictures, masks = clip
    restorer = GeneratorRestorer(generator())
    parsed = blank_clip(pictures, 25.0, "h264", "")
    found = restored(restorer, parsed, masks)
    assert restorer.notes(parsed) == ()
    assert np.array_equal(found, np.stack(list(ClipRestorer(generator()).restore(pictures, masks))))


@pytest.mark.parametrize("size", [(18, 12), (50, 30)])
def test_a_clip_worked_at_another_size_keeps_what_is_right(generator, clip, size):
    pictures, masks = clip
    parsed = blank_clip(pictures, 25.0, "h264", "")
    found = restored(GeneratorRestorer(generator()), parsed, masks, size)
    assert found.shape == pictures.shape
    assert np.array_equal(found[masks == 0], pictures[masks == 0])
    assert not np.array_equal(found[masks > 0], pictures[masks > 0])


@pytest.fixture
def moving(clip):
    """A parsed clip in which each picture refers to the one before it, 6 pixels to the left and 2 down."""
    parsed = blank_clip(clip[0], 25.0, "h264", "")
    parsed.mv_past[1:], parsed.mv_past_valid[1:] = (-6, 2), True
    parsed.past_reference[1:] = np.arange(6)[:, None, None]
    parsed.is_reference[:] = True
    return parsed


@pytest.mark.parametrize(("size", "cells", "step"), [(None, (3, 5), (6, -2)), ((72, 12), (2, 9), (12, -1))])
def test_vectors_at_the_size_that_is_worked_at(moving, size, cells, step):
    for index in (1, 3):
        field = clip_vectors(moving, index, size)
        assert field.shape == (2, 3, *cells) and field.dtype == np.float32
        assert (field[0, :2] == np.float32(step)[:, None, None]).all() and (field[:, 2] == 1).all()
        assert (field[1, :2] == -field[0, :2]).all()


def test_cells_of_another_size_take_the_vector_at_their_place(moving):
    moving.mv_past_valid[2, :, 3:] = False
    moving.status[:] = AccessUnitStatus.INTACT
    known = clip_vectors(moving, 1, (72, 48))[1, 2]
    assert known[:, :6].all() and not known[:, 6:].any()  # 5 cells of which 3 are known, each now two wide


@pytest.mark.parametrize("flow", [dict(source="codec"), dict(source="codec_start")])
def test_flow_from_vectors_reaches_clips(generator, clip, moving, flow):
    """Without vectors the flow is SPyNet's, and that is said; with them it is not, and nothing needs to be said."""
    settings = dict(widths=(4,), levels=2)
    network = generator(parts=(), flow={**settings, **flow})
    alone = restored(GeneratorRestorer(generator(parts=(), flow=settings)), moving, clip[1])
    restorer = GeneratorRestorer(network)
    blank = blank_clip(clip[0], 25.0, "h264", "")
    [note] = restorer.notes(blank)
    assert np.array_equal(restored(restorer, blank, clip[1]), alone)
    assert "no motion vectors" in note and "SPyNet's alone" in note
    assert restorer.notes(moving) == () and not np.array_equal(restored(restorer, moving, clip[1]), alone)


def test_flow_from_vectors_alone_without_any(generator, clip):
    network = generator(parts=(), flow=dict(source="codec", holes="neighbours"))
    blank = blank_clip(clip[0], 25.0, "h264", "")
    [note] = GeneratorRestorer(network).notes(blank)
    assert "nothing is taken to move" in note
    found = restored(GeneratorRestorer(network), blank, clip[1])
    assert np.array_equal(found[clip[1] == 0], clip[0][clip[1] == 0])


@pytest.mark.parametrize("size", [None, (18, 12)])
@pytest.mark.parametrize("flow", ["spynet", "codec"])
@pytest.mark.parametrize("schedule", ["published", "exact", "fast"])
def test_parts_of_a_clip_come_to_the_same_as_the_whole(generator, clip, moving, schedule, flow, size):
    """Windows reach over borders; each part knows the picture behind it, for the vectors to there."""
    network = generator(flow=dict(widths=(4,), levels=2, source=flow))
    restorer = GeneratorRestorer(network, schedule=schedule)
    asked = []

    def parts():
        for first, end in ((0, 3), (3, 4), (4, 7)):
            asked.append(first)
            some = slice(max(first - 1, 0), end + 1)
            yield MaskedClip(cut(moving, some), clip[1][some], slice(first - some.start, end - some.start))

    found = list(restorer.restore_clips(parts(), size))
    assert np.array_equal(found, restored(restorer, moving, clip[1], size)) and asked == [0, 3, 4]


def cut(clip, some):
    """Some pictures of a clip, as if they had been read alone."""
    fields = {name: value[some] for name, value in array_fields(clip).items() if len(value) == len(clip)}
    for name in ("past_reference", "future_reference"):
        fields[name] = np.where(fields[name] >= 0, fields[name] - some.start, fields[name])
    return dataclasses.replace(clip, **fields)
