"""SAM 2.1 as published, with its own memory of earlier frames, out of the `sam2` package; a neck sees what it decodes.

`backbones.sam2` takes the package's parts for pictures that stand alone; here is the whole model, so that weights trained
in it load and compute the same. One object is tracked: the damage.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from sam2.modeling.sam.mask_decoder import MaskDecoder
from sam2.modeling.sam.transformer import TwoWayTransformer
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from b2scvr.backbones.sam2 import (
    build_image_encoder,
    build_memory_attention,
    build_memory_encoder,
    settle_rotary_tables,
)

DIM, MEMORY_DIM = 256, 64
NUM_MEMORIES = 7  # the conditioning frame and six earlier ones
POINTERS = 16  # object pointers that a frame looks at, at most
STRIDE = 16
MASK_SCALE, MASK_BIAS = 20.0, -10.0  # of a mask's probabilities on their way into the memory


class PromptedMaskDecoder(MaskDecoder):
    """SAM's mask decoder behind a neck, which mixes prompt tokens into the image embedding.

    neck: called with the image embedding [B, 256, g, g] and tokens [B, M, 256], returns as the former. The tokens of the
    frame in hand are set by `prompted`; nothing of SAM's own calls changes.
    """

    def __init__(self, neck: nn.Module, **options: object) -> None:
        super().__init__(**options)
        self.neck = neck
        self._tokens: Tensor | None = None

    @contextmanager
    def prompted(self, tokens: Tensor) -> Iterator[None]:
        """Decode with these tokens [B, M, 256] inside the `with`."""
        self._tokens = tokens
        try:
            yield
        finally:
            self._tokens = None

    def predict_masks(self, image_embeddings: Tensor, *args: object, **kwargs: object) -> tuple[Tensor, ...]:
        """As SAM's, of the embedding that went through the neck. RuntimeError outside `prompted`."""
        if self._tokens is None:
            raise RuntimeError("the mask decoder has no prompt tokens: call it inside `prompted`")
        return super().predict_masks(self.neck(image_embeddings, self._tokens), *args, **kwargs)


@dataclass
class FrameFeatures:
    """What the image encoder makes of one frame; finest map first, [h * w, B, C] each."""

    maps: list[Tensor]
    positions: list[Tensor]
    sizes: list[tuple[int, int]]


@dataclass
class FrameMemory:
    """What is kept of a frame that was segmented."""

    logits: Tensor  # [B, 1, 4g, 4g], of the mask
    pointer: Tensor  # [B, 256]
    object_score: Tensor  # [B, 1] logit, something is there
    iou: Tensor  # [B], expected IoU of the mask
    features: Tensor | None = None  # [B, 64, g, g]
    positions: list[Tensor] | None = None


class VideoSegmenter(SAM2Base):
    """SAM 2.1 with the settings of its video predictor, its mask decoder behind `neck`. Defaults: Hiera-tiny.

    image_size: side of the square that it sees, a multiple of 32; the rest as in `backbones.sam2.SegmentAnything`.
    Parameters are called as in SAM 2.1's checkpoints, the neck's beside the mask decoder's.
    """

    def __init__(
        self,
        neck: nn.Module,
        image_size: int = 1024,
        embed_dim: int = 96,
        trunk_heads: int = 1,
        stages: Sequence[int] = (1, 2, 7, 2),
        window_spec: Sequence[int] = (8, 4, 14, 7),
        global_att_blocks: Sequence[int] = (5, 7, 9),
        background_size: Sequence[int] = (7, 7),
    ) -> None:
        grid = image_size // STRIDE
        super().__init__(
            image_encoder=build_image_encoder(
                embed_dim, stages, window_spec, global_att_blocks, background_size, DIM, trunk_heads
            ),
            memory_attention=build_memory_attention(DIM, MEMORY_DIM, 4, 2048, grid, 0.1),
            memory_encoder=build_memory_encoder(DIM, MEMORY_DIM, 1e-6),
            num_maskmem=NUM_MEMORIES,
            image_size=image_size,
            sigmoid_scale_for_mem_enc=MASK_SCALE,
            sigmoid_bias_for_mem_enc=MASK_BIAS,
            use_mask_input_as_output_without_sam=True,
            directly_add_no_mem_embed=True,
            no_obj_embed_spatial=True,
            use_high_res_features_in_sam=True,
            multimask_output_in_sam=True,
            multimask_min_pt_num=0,
            multimask_max_pt_num=1,
            multimask_output_for_tracking=True,
            use_multimask_token_for_obj_ptr=True,
            iou_prediction_use_sigmoid=True,
            use_obj_ptrs_in_encoder=True,
            max_obj_ptrs_in_encoder=POINTERS,
            add_tpos_enc_to_obj_ptrs=True,
            proj_tpos_enc_in_obj_ptrs=True,
            use_signed_tpos_enc_to_obj_ptrs=True,
            only_obj_ptrs_in_the_past_for_eval=True,
            pred_obj_scores=True,
            pred_obj_scores_mlp=True,
            fixed_no_obj_ptr=True,
            use_mlp_for_obj_ptr_proj=True,
        )
        self.grid = grid
        self.sam_mask_decoder = PromptedMaskDecoder(
            neck,
            transformer_dim=DIM,
            transformer=TwoWayTransformer(2, DIM, num_heads=8, mlp_dim=2048),
            num_multimask_outputs=3,
            use_high_res_features=True,
            iou_prediction_use_sigmoid=True,
            pred_obj_scores=True,
            pred_obj_scores_mlp=True,
            use_multimask_token_for_obj_ptr=True,
        )
        settle_rotary_tables(self, grid, torch.device("cpu"))

    def encode(self, pictures: Tensor) -> FrameFeatures:
        """pictures: [B, 3, image_size, image_size], normalised by ImageNet's statistics."""
        _, maps, positions, sizes = self._prepare_backbone_features(self.forward_image(pictures))
        return FrameFeatures(maps, positions, sizes)

    def start(self, features: FrameFeatures, mask: Tensor, tokens: Tensor) -> FrameMemory:
        """Return the memory of a frame whose mask is given, [B, 1, image_size, image_size] in {0, 1}."""
        with self.sam_mask_decoder.prompted(tokens):
            found = self._segment(features, {}, mask=mask)
        # The published predictor encodes the mask as it keeps it, at a quarter of the resolution.
        full = F.interpolate(found.logits, (self.image_size, self.image_size), mode="bilinear", align_corners=False)
        self._remember(features, full, found)
        return found

    def track(
        self,
        features: FrameFeatures,
        tokens: Tensor,
        started: Mapping[int, FrameMemory],
        recent: Mapping[int, FrameMemory],
        index: int,
        num_frames: int,
        reverse: bool = False,
    ) -> FrameMemory:
        """Return what is found in frame `index` of `num_frames`, and its memory.

        started, recent: memories of frames whose mask was given, and of frames tracked before (after, in reverse), by
        their index. Those tracked more than six frames ago are read for their pointer only, older than fifteen not at all.
        """
        bank = {"cond_frame_outputs": _as_outputs(started), "non_cond_frame_outputs": _as_outputs(recent)}
        with self.sam_mask_decoder.prompted(tokens):
            found = self._segment(features, bank, index=index, num_frames=num_frames, reverse=reverse)
        return found

    def _segment(
        self,
        features: FrameFeatures,
        bank: dict[str, dict[int, dict[str, object]]],
        mask: Tensor | None = None,
        index: int = 0,
        num_frames: int = POINTERS,
        reverse: bool = False,
    ) -> FrameMemory:
        _, out, _, _ = self._track_step(
            frame_idx=index,
            is_init_cond_frame=mask is not None,
            current_vision_feats=features.maps,
            current_vision_pos_embeds=features.positions,
            feat_sizes=features.sizes,
            point_inputs=None,
            mask_inputs=mask,
            output_dict=bank,
            num_frames=num_frames,
            track_in_reverse=reverse,
            prev_sam_mask_logits=None,
        )
        _, _, ious, logits, full, pointer, score = out
        found = FrameMemory(logits, pointer, score, ious.amax(1))
        if mask is None:
            self._remember(features, full, found)
        return found

    def _remember(self, features: FrameFeatures, logits: Tensor, found: FrameMemory) -> None:
        """Encode the mask logits [B, 1, image_size, image_size] of a frame into `found`."""
        found.features, found.positions = self._encode_new_memory(
            features.maps, features.sizes, logits, found.object_score, is_mask_from_pts=False
        )

    def _apply(self, fn, recurse=True):  # type: ignore[no-untyped-def]
        super()._apply(fn, recurse)
        settle_rotary_tables(self, self.grid, self.no_mem_embed.device)
        return self


def forget(recent: dict[int, FrameMemory], index: int) -> None:
    """Drop from `recent` what no frame beyond `index` reads any more, in either direction of time, so that it stays small."""
    for other in list(recent):
        distance = abs(other - index)
        if distance >= POINTERS - 1:
            del recent[other]
        elif distance >= NUM_MEMORIES - 1:
            recent[other] = replace(recent[other], features=None, positions=None)


def _as_outputs(memories: Mapping[int, FrameMemory]) -> dict[int, dict[str, object]]:
    """Return memories as SAM 2's own dictionaries call their parts."""
    return {
        index: {"maskmem_features": m.features, "maskmem_pos_enc": m.positions, "obj_ptr": m.pointer}
        for index, m in memories.items()
    }
