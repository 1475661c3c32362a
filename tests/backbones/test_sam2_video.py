"""The whole of SAM 2.1 with a neck: it tracks as the package's own predictor does, and remembers no more than it reads."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sam2.sam2_video_predictor import SAM2VideoPredictor
from torch import nn

from b2scvr.backbones.sam2 import build_image_encoder, build_memory_attention, build_memory_encoder
from b2scvr.backbones.sam2_video import VideoSegmenter, forget

FRAMES, SIDE, FIRST = 20, 64, 2
TRUNK = dict(
    embed_dim=24, stages=(1, 1, 2, 1), window_spec=(8, 4, 4, 2), global_att_blocks=(3,), background_size=(7, 7)
)
TOKENS = torch.zeros(1, 1, 256)
ON = (  # what sam2.1_hiera_t.yaml switches on
    "use_mask_input_as_output_without_sam",
    "directly_add_no_mem_embed",
    "no_obj_embed_spatial",
    "use_high_res_features_in_sam",
    "multimask_output_in_sam",
    "iou_prediction_use_sigmoid",
    "use_obj_ptrs_in_encoder",
    "add_tpos_enc_to_obj_ptrs",
    "proj_tpos_enc_in_obj_ptrs",
    "use_signed_tpos_enc_to_obj_ptrs",
    "only_obj_ptrs_in_the_past_for_eval",
    "pred_obj_scores",
    "pred_obj_scores_mlp",
    "fixed_no_obj_ptr",
    "multimask_output_for_tracking",
    "use_multimask_token_for_obj_ptr",
    "use_mlp_for_obj_ptr_proj",
)


class Through(nn.Module):
    """A neck that changes nothing, or adds the mean token."""

    def forward(self, x, tokens):
        return x + tokens.mean(1)[..., None, None]


@pytest.fixture(scope="module")
def segmenter():
    torch.manual_seed(0)
    segmenter = VideoSegmenter(Through(), image_size=SIDE, **TRUNK).eval()
    nn.init.constant_(segmenter.sam_mask_decoder.pred_obj_score_head.layers[-1].bias, 5.0)  # something is there
    return segmenter


@pytest.fixture(scope="module")
def pictures():
    return torch.randn(FRAMES, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def mask():
    mask = torch.zeros(1, 1, SIDE, SIDE)
    mask[..., 20:48, 12:52] = 1
    return mask


def tracked(segmenter, pictures, mask, bounded):
    """Mask logits of the frames from FIRST on, and the most memories held at once."""
    started, recent, logits, most = {}, {}, [], 0
    for index in range(FIRST, len(pictures)):
        features = segmenter.encode(pictures[index : index + 1])
        if index == FIRST:
            found = started[index] = segmenter.start(features, mask, TOKENS)
        else:
            found = recent[index] = segmenter.track(features, TOKENS, started, recent, index, len(pictures))
        if bounded:
            forget(recent, index)
        most = max(most, sum(m.features is not None for m in recent.values()))
        logits.append(found.logits)
    return torch.cat(logits), most


def predictor(segmenter):
    """The package's predictor with the settings of its file sam2.1_hiera_t.yaml, at this size."""
    trunk = (TRUNK["embed_dim"], TRUNK["stages"], TRUNK["window_spec"], TRUNK["global_att_blocks"], (7, 7))
    stock = SAM2VideoPredictor(
        image_encoder=build_image_encoder(*trunk, 256),
        memory_attention=build_memory_attention(256, 64, 4, 2048, SIDE // 16, 0.1),
        memory_encoder=build_memory_encoder(256, 64, 1e-6),
        num_maskmem=7,
        image_size=SIDE,
        sigmoid_scale_for_mem_enc=20.0,
        sigmoid_bias_for_mem_enc=-10.0,
        multimask_min_pt_num=0,
        multimask_max_pt_num=1,
        **dict.fromkeys(ON, True),
    )
    stock.load_state_dict(segmenter.state_dict())
    return stock.eval()


def state_of(pictures):
    """The predictor's state of a clip, without its detour over files."""
    cpu = torch.device("cpu")
    names = "point_inputs_per_obj mask_inputs_per_obj cached_features constants obj_id_to_idx obj_idx_to_id "
    names += "output_dict_per_obj temp_output_dict_per_obj frames_tracked_per_obj"
    size = dict(video_height=SIDE // 4, video_width=SIDE // 4, num_frames=len(pictures))
    return dict(images=pictures, device=cpu, storage_device=cpu, obj_ids=[], **size) | {n: {} for n in names.split()}


def test_it_tracks_as_the_packages_predictor(segmenter, pictures, mask):
    stock, state = predictor(segmenter), state_of(pictures)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        stock.add_new_mask(state, FIRST, 1, mask[0, 0].bool().numpy())
        expected = torch.cat([logits for _, _, logits in stock.propagate_in_video(state)])
        found, _ = tracked(segmenter, pictures, mask, bounded=True)
    assert torch.equal(found, expected)
    assert found[1:].std() > 0


def test_memory_does_not_grow_and_nothing_is_missed(segmenter, pictures, mask):
    with torch.inference_mode():
        free, most_free = tracked(segmenter, pictures, mask, bounded=False)
        bounded, most = tracked(segmenter, pictures, mask, bounded=True)
    assert torch.equal(free, bounded)
    assert most_free == FRAMES - FIRST - 1 and most <= 7


def test_tracking_backwards_mirrors_tracking_forwards(segmenter, pictures, mask):
    """The last frame given, its neighbour tracked: in reverse the frame before, forwards the frame after."""
    with torch.inference_mode():
        first, second = segmenter.encode(pictures[:1]), segmenter.encode(pictures[1:2])
        start = segmenter.start(first, mask, TOKENS)
        forwards = segmenter.track(second, TOKENS, {4: start}, {}, 5, 10)
        backwards = segmenter.track(second, TOKENS, {6: start}, {}, 5, 10, reverse=True)
    assert torch.equal(forwards.logits, backwards.logits)


def test_the_neck_sees_the_tokens_and_needs_them(segmenter, pictures, mask):
    with torch.inference_mode():
        features = segmenter.encode(pictures[:1])
        start = segmenter.start(features, mask, TOKENS)
        plain = segmenter.track(features, TOKENS, {0: start}, {}, 1, 9)
        prompted = segmenter.track(features, TOKENS + 1, {0: start}, {}, 1, 9)
        assert not torch.equal(plain.logits, prompted.logits)
        with pytest.raises(RuntimeError, match="prompted"):
            segmenter.sam_mask_decoder.predict_masks(torch.zeros(1, 256, 8, 8))


def test_a_given_mask_is_what_is_remembered(segmenter, pictures, mask):
    with torch.inference_mode():
        found = segmenter.start(segmenter.encode(pictures[:1]), mask, TOKENS)
    shown = F.interpolate(mask, scale_factor=0.25, mode="area") > 0.5
    assert torch.equal(found.logits > 0, shown)
    assert found.iou.item() == 1 and found.object_score.item() == 10
    assert np.isfinite(found.pointer.numpy()).all()
