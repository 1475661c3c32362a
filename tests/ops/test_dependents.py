"""The true pictures in the broken places: how far their dependents come."""

import dataclasses

import numpy as np
import pytest
import torch

from b2scvr.bitstream.reader import decode
from b2scvr.metrics.psnr import psnr
from b2scvr.ops.batch import pictures_to_tensor, tensor_to_picture
from b2scvr.ops.dependents import DependentCorrector
from b2scvr.types import UNKNOWN_REFERENCE, AccessUnitStatus


@pytest.fixture(scope="module")
def h264(clean_stream, damaged_stream):
    return decode(clean_stream).clip, decode(damaged_stream).clip


@pytest.fixture(scope="module")
def mpeg4(mpeg4_stream, pictures):
    return tuple(decode(mpeg4_stream(pictures, broken=broken), "m4v").clip for broken in ((), (3, 14)))


def true_pictures(clean, damaged):
    broken = np.flatnonzero(damaged.status == AccessUnitStatus.BROKEN)
    assert broken.size
    return {int(slot): pictures_to_tensor(clean.frames[slot]) for slot in broken}


def gain(clean, damaged, corrected):
    """PSNR of the dependents as decoded and as corrected, dB."""
    dependents = np.flatnonzero((damaged.frames != clean.frames).any(axis=(1, 2, 3)))
    dependents = [slot for slot in dependents if damaged.status[slot] == AccessUnitStatus.DEPENDENT]
    assert dependents and set(dependents) <= corrected.keys()
    frames = np.stack([tensor_to_picture(corrected[slot]) for slot in dependents])
    return tuple(psnr(found, clean.frames[dependents]).mean() for found in (damaged.frames[dependents], frames))


@pytest.mark.parametrize("kind", ["h264", "mpeg4"])
def test_dependents_come_near_the_truth(kind, request):
    clean, damaged = request.getfixturevalue(kind)
    before, after = gain(clean, damaged, DependentCorrector(damaged)(true_pictures(clean, damaged)))
    assert after > before + 10 and after > 35


def test_references_that_the_stream_does_not_tell_are_found(h264):
    clean, damaged = h264
    unknown = dataclasses.replace(damaged, past_reference=np.full_like(damaged.past_reference, UNKNOWN_REFERENCE))
    before, after = gain(clean, damaged, DependentCorrector(unknown)(true_pictures(clean, damaged)))
    assert after > before + 6


def test_pictures_that_were_right_change_nothing(h264):
    _, damaged = h264
    corrected = DependentCorrector(damaged)(true_pictures(damaged, damaged))
    assert corrected
    for slot, picture in corrected.items():
        assert np.array_equal(tensor_to_picture(picture), damaged.frames[slot])


def test_nothing_restored_nothing_corrected(h264):
    assert DependentCorrector(h264[1])({}) == {}


def test_small_batches_give_the_same_pictures(h264, monkeypatch):
    clean, damaged = h264
    roots = true_pictures(clean, damaged)
    together = DependentCorrector(damaged)(roots)
    monkeypatch.setattr("b2scvr.ops.dependents.BATCH_PIXELS", 1)
    for slot, picture in DependentCorrector(damaged)(roots).items():
        assert torch.allclose(picture, together[slot], atol=1e-6)


def test_a_loss_on_dependents_reaches_the_restored_picture(h264):
    clean, damaged = h264
    roots = {slot: picture.requires_grad_() for slot, picture in true_pictures(clean, damaged).items()}
    sum(picture.mean() for picture in DependentCorrector(damaged)(roots).values()).backward()
    assert any(picture.grad is not None and picture.grad.any() for picture in roots.values())


def test_all_frames_of_a_clip_at_once(mpeg4):
    clean, damaged = mpeg4
    corrector = DependentCorrector(damaged)
    roots = true_pictures(clean, damaged)
    frames = corrector.frames({slot: clean.frames[slot] for slot in roots})
    for slot, picture in corrector(roots).items():
        assert np.array_equal(frames[slot], tensor_to_picture(picture))
    assert all(np.array_equal(frames[slot], clean.frames[slot]) for slot in roots)
    intact = damaged.status == AccessUnitStatus.INTACT
    assert np.array_equal(frames[intact], damaged.frames[intact])


def test_a_picture_is_intact_once_all_behind_it_are(mpeg4):
    _, damaged = mpeg4
    first, second = (int(slot) for slot in np.flatnonzero(damaged.status == AccessUnitStatus.BROKEN))
    corrector = DependentCorrector(damaged)
    status = corrector.status([first])
    assert (status[:second] == AccessUnitStatus.INTACT).all() and status[second] == AccessUnitStatus.BROKEN
    assert (status[second + 1 :] == damaged.status[second + 1 :]).all()
    assert (corrector.status([first, second]) == AccessUnitStatus.INTACT).all()


def test_what_has_no_dependent_in_common_is_corrected_apart(mpeg4):
    _, damaged = mpeg4
    corrector = DependentCorrector(damaged)
    assert corrector._apart([3, 14]) == [[3], [14]]  # a key picture lies between them
    assert corrector._apart([3, 5, 14]) == [[3, 5], [14]] and corrector._apart([]) == []
