"""Names of the published detector's weights (`checkpoint.pt`) -> those of `dac.official.PublishedDetector`.

SAM 2.1's own names stay. Its mask decoder holds what was added: the tokenisers, which are a module of their own here, and
the neck, a Token Dictionary whose parts are called as in layers.token_dictionary.
"""

from __future__ import annotations

from b2scvr.checkpoints.keys import KeyMap

_DECODER = r"sam_mask_decoder\."
_NECK = rf"{_DECODER}neck\."
_LAYER = rf"{_NECK}layers\.(\d+)\.residual_group\.layers\.(\d+)\."
_OUR_NECK = "sam.sam_mask_decoder.neck"

DETECTOR = KeyMap(
    rules=(
        (rf"{_DECODER}degradation_embeddings", "tokens.degradation"),
        (rf"{_DECODER}token_mlp\.(.+)", r"tokens.vector_mlp.\1"),
        (rf"{_DECODER}mv_tokenizer\.proj\.(.+)", r"tokens.vector_proj.\1"),
        (rf"{_DECODER}mv_tokenizer\.backbone\.(.+)", r"tokens.embedder.vit.\1"),
        (rf"{_DECODER}pm_tokenizer\.(.+)", r"tokens.letter_proj.\1"),
        (rf"{_NECK}patch_embed\.norm\.(.+)", rf"{_OUR_NECK}.norm_in.\1"),
        (rf"{_NECK}norm\.(.+)", rf"{_OUR_NECK}.norm_out.\1"),
        (rf"{_NECK}conv_after_body\.(.+)", rf"{_OUR_NECK}.conv_after_body.\1"),
        (rf"{_NECK}layers\.(\d+)\.conv\.(.+)", rf"{_OUR_NECK}.blocks.\1.conv.\2"),
        (rf"{_LAYER}norm3\.(.+)", rf"{_OUR_NECK}.blocks.\1.layers.\2.refinement.\3"),
        (rf"{_LAYER}sigma", rf"{_OUR_NECK}.blocks.\1.layers.\2.refinement.sigma"),
        (rf"{_LAYER}convffn\.dwconv\.depthwise_conv\.0\.(.+)", rf"{_OUR_NECK}.blocks.\1.layers.\2.convffn.dwconv.\3"),
        (rf"{_LAYER}(.+)", rf"{_OUR_NECK}.blocks.\1.layers.\2.\3"),
        (r"((?!sam_mask_decoder\.(?:neck|mv_|pm_|token_mlp)).+)", r"sam.\1"),
    ),
    computed=(rf"{_NECK}relative_position_index_SA",),
    unused=(
        rf"{_NECK}conv_first\.(weight|bias)",  # allocated, never called
        rf"{_DECODER}mv_tokenizer\.backbone\.mask_token",  # of DINOv2's training only
    ),
)
# SAM 2.1's own files -> backbones.sam2.SegmentAnything, which segments one picture: pointers to objects have no place.
SEGMENT_ANYTHING = KeyMap(
    rules=((r"((?:image_encoder|memory_\w+|sam_\w+)\..+|maskmem_tpos_enc|no_mem_embed)", r"\1"),),
    unused=(
        r"no_mem_pos_enc|no_obj_\w+|mask_downsample\..+|obj_ptr_\w+\..+",
        r"sam_mask_decoder\.(obj_score_token|pred_obj_score_head)\..+",
    ),
)
