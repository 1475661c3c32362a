"""SAM 2.1's own files give their weights to the parts of it that segment one picture."""

import pytest
import torch
from torch import nn

from b2scvr.backbones.sam2 import SegmentAnything
from b2scvr.backbones.sam2_video import VideoSegmenter
from b2scvr.checkpoints.known import KNOWN, VARIABLE, sha256_of
from b2scvr.checkpoints.load import WeightsMismatchError

NAME = "sam2.1_hiera_t"
TRUNK = dict(embed_dim=8, stages=(1, 1, 1, 1), window_spec=(8, 4, 4, 2), global_att_blocks=(2,), background_size=(7, 7))


@pytest.fixture(scope="module")
def published():
    """A whole SAM 2.1 of small trunk: its names are those of the published files."""
    torch.manual_seed(0)
    return VideoSegmenter(nn.Identity(), image_size=64, **TRUNK).state_dict()


@pytest.fixture
def file(published, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    path = tmp_path / KNOWN[NAME].file
    torch.save({"model": published}, path)
    return path


@pytest.mark.parametrize("memories", [3, 0])
def test_all_parts_get_their_weights(published, file, memories):
    sam = SegmentAnything(image_size=64, num_memories=memories, **TRUNK)
    assert sam.load_pretrained(NAME, {}) == {NAME: sha256_of(file)}
    own = sam.state_dict()
    for key, value in own.items():
        expected = published[key][:memories] if key == "maskmem_tpos_enc" else published[key]
        assert torch.equal(value, expected), key
    assert ("maskmem_tpos_enc" in own) is bool(memories)


@pytest.mark.parametrize(
    ("change", "message"), [({"sam_mask_decoder.mask_tokens.weight": None}, "missing"), ({"other.x": 1}, "unexpected")]
)
def test_another_file_is_refused(published, file, change, message):
    changed = {key: value for key, value in published.items() if key not in change}
    changed |= {key: torch.ones(1) for key, value in change.items() if value is not None}
    torch.save({"model": changed}, file)
    with pytest.raises(WeightsMismatchError, match=message):
        SegmentAnything(image_size=64, num_memories=3, **TRUNK).load_pretrained(NAME, {NAME: str(file)})
