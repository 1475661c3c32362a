"""Clips that tell little or nothing: detection works, and what is missing is named."""

import io

import av
import numpy as np
import pytest
import torch

from b2scvr.bitstream.damage import CutModel, damage
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.reader import decode
from b2scvr.config import load_config
from b2scvr.dac import make_tracker
from b2scvr.registry import MODELS
from b2scvr.types import AccessUnitStatus


@pytest.fixture(scope="module")
def detector(request):
    config = load_config(request.config.rootpath / "configs" / "dac" / "ablation" / "all.py")
    torch.manual_seed(0)
    return make_tracker(MODELS.build(config.dac))


def judged(detector, clip):
    """The damage of every picture; each answer has its shape and finite numbers."""
    found = list(detector.track(clip))
    assert len(found) == len(clip)
    for damage_ in found:
        assert damage_.mask.shape == clip.frames.shape[1:3] and damage_.macroblocks.shape == clip.mode.shape[1:]
        assert np.isfinite(damage_.mask).all() and np.isfinite(damage_.macroblocks).all()
        assert 0 <= damage_.confidence <= 1
    return found


def test_a_stream_of_intra_pictures_alone_has_no_vectors(detector, pictures):
    stream = encode_h264(pictures[:6], gop=1)
    broken = damage(stream, CutModel(slices_per_gop=1, gop=3, position=0.4, length=200, seed=3))[0]
    assert decode(stream).clip.sources["vectors"] == "none"
    clip = decode(broken).clip
    assert (clip.status != AccessUnitStatus.INTACT).any()
    found = judged(detector, clip)
    assert any(one.macroblocks.any() for one in found)


def test_hevc_names_what_its_decoder_does_not_tell(detector, pictures):
    clip = decode(hevc(pictures[:6]), "hevc").clip
    assert clip.codec == "hevc" and clip.sources["concealed"] == "none"
    assert any("hevc" in note.lower() for note in clip.notes), clip.notes
    clip.status[2] = AccessUnitStatus.BROKEN
    assert judged(detector, clip)[2].confidence <= 1


@pytest.mark.parametrize("status", [AccessUnitStatus.BROKEN, AccessUnitStatus.DEPENDENT, AccessUnitStatus.LOST])
def test_one_picture_and_no_evidence_at_all(detector, make_clip, status):
    clip = make_clip([status])
    clip.concealed[:] = status == AccessUnitStatus.LOST
    (found,) = judged(detector, clip)
    assert (found.macroblocks == 1).all() == (status == AccessUnitStatus.LOST)


def test_all_pictures_lost(detector, make_clip):
    clip = make_clip([AccessUnitStatus.LOST] * 5)
    clip.lost[:], clip.concealed[:] = True, True
    assert all((found.macroblocks == 1).all() and (found.mask == 1).all() for found in judged(detector, clip))


def test_of_a_lost_picture_all_is_damaged_even_beside_others(detector, make_clip):
    clip = make_clip([AccessUnitStatus.INTACT, AccessUnitStatus.LOST, AccessUnitStatus.INTACT])
    clip.lost[1], clip.concealed[1] = True, True
    assert [found.mask.min() for found in judged(detector, clip)] == [0, 1, 0]


def test_what_was_concealed_is_damaged_where_no_picture_shows_how_it_looked(detector, make_clip):
    (found,) = judged(detector, make_clip([AccessUnitStatus.BROKEN]))
    assert (found.mask[16:] == 1).all() and not (found.mask[:16] == 1).any()


def hevc(frames):
    """An HEVC elementary stream of the pictures."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="hevc") as container:
        stream = container.add_stream("libx265", rate=25, options={"x265-params": "log-level=none:keyint=6:pools=none"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in [*(av.VideoFrame.from_ndarray(frame, format="rgb24") for frame in frames), None]:
            container.mux(stream.encode(frame))
    return buffer.getvalue()
