"""Peers: what they do on pictures whose answer is known."""

import cv2
import numpy as np
import pytest

from b2scvr.bitstream.damage import CutModel, damage
from b2scvr.bitstream.reader import decode
from b2scvr.engine.peers import CONCEALMENTS, FILLS, PEERS, filled, flow_copy, inpaint, other_concealments
from b2scvr.engine.twins import Twin
from b2scvr.metrics.masks import mask_truth
from b2scvr.metrics.psnr import psnr


def hole(pictures, slot=2, rows=slice(30, 60), columns=slice(40, 80)):
    masks = np.zeros(pictures.shape[:3], np.uint8)
    masks[slot, rows, columns] = 1
    broken = pictures.copy()
    broken[slot][masks[slot] > 0] = 255
    return broken, masks


@pytest.mark.parametrize(("method", "levels"), [(cv2.INPAINT_TELEA, 4), (cv2.INPAINT_NS, 0)])
def test_inpainting_keeps_flat_pictures_flat_and_touches_nothing_outside(method, levels, pictures):
    flat = np.full((4, 80, 120, 3), 90, np.uint8)
    broken, masks = hole(flat)
    # OpenCV's Telea rounds again and again from the edge inwards.
    assert np.abs(inpaint(broken, masks, method).astype(int) - flat).max() <= levels
    broken, masks = hole(pictures)
    found = inpaint(broken, masks, method)
    assert np.array_equal(found[masks == 0], pictures[masks == 0])
    assert psnr(found, pictures)[2] > psnr(broken, pictures)[2] + 3


def test_flow_copy_follows_the_motion(pictures):
    broken, masks = hole(pictures[:6])
    found = flow_copy(broken, masks)
    assert np.array_equal(found[masks == 0], pictures[:6][masks == 0])
    inside = masks > 0
    still = broken.copy()
    still[inside] = pictures[np.arange(6) - 1][inside]
    error = [np.abs(clip[inside].astype(int) - pictures[:6][inside]).mean() for clip in (found, still)]
    assert error[0] < 0.5 * error[1]


def test_without_an_intact_picture_flow_copy_leaves_all_as_it_is(pictures):
    masks = np.ones((3, *pictures.shape[1:3]), np.uint8)
    assert np.array_equal(flow_copy(pictures[:3], masks), pictures[:3])


def test_empty_masks_change_nothing(pictures):
    masks = np.zeros((3, *pictures.shape[1:3]), np.uint8)
    for fill in FILLS.values():
        assert np.array_equal(fill(pictures[:3], masks), pictures[:3])


@pytest.fixture
def twin(clean_stream):
    truth = decode(clean_stream).clip.frames
    coded = decode(damage(clean_stream, CutModel(gop=12, position=0.3, length=150, seed=1))[0])
    return Twin("texture", 0, truth, coded, mask_truth(coded.clip.frames, truth))


def test_every_kind_of_concealment_is_there_for_the_same_pictures(twin):
    found = list(other_concealments(twin))
    assert [made.peer for made in found] == [f"ec={how}" for how in CONCEALMENTS]
    intact = ~(twin.coded.clip.frames != twin.clean).any(axis=(1, 2, 3))
    assert all(np.array_equal(made.frames[intact], twin.clean[intact]) for made in found)
    assert not np.array_equal(found[-1].frames, twin.coded.clip.frames), "none at all looks different"
    twin.coded.access_units.clear()
    assert list(other_concealments(twin)) == []


def test_only_the_wanted_peers_fill(twin):
    assert [made.peer for made in filled(twin, ("telea", "concealment"), twin.masks)] == ["telea"]
    assert [made.peer for made in filled(twin, PEERS, twin.masks)] == list(FILLS)
