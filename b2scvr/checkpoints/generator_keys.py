"""Names of the published recovery networks' weights -> ours (B2SCVR, BSCVR-P, E2FGVI-HQ and their discriminator).

The three networks use the same names for what they share.
"""

from __future__ import annotations

from collections.abc import Iterable

from b2scvr.checkpoints.keys import KeyMap, Rule

ENCODER: list[Rule] = [
    *((rf"encoder\.layers\.{2 * i}\.(.+)", rf"encoder.stem.{i}.\1") for i in range(4)),
    *((rf"encoder\.layers\.{2 * i + 8}\.(.+)", rf"encoder.tail.{i}.\1") for i in range(5)),
]
FLOW: list[Rule] = [
    (rf"update_spynet\.basic_module\.(\d)\.basic_module\.{i}\.conv\.(.+)", rf"flow.levels.\1.{2 * i}.\2")
    for i in range(5)
]
AUGMENTATION: list[Rule] = [
    (r"sam2_encoder\.(.+)", r"trunk.\1"),
    (r"sam_fuser\.learnable_weight", r"augmentation.scale"),
    (r"sam_fuser\.dec4\.(.+)", r"augmentation.out.\1"),
    *((rf"sam_fuser\.(enc|attn|dec){i + 1}\.(.+)", rf"augmentation.\1.{i}.\2") for i in range(4)),
]
COMPLETION: list[Rule] = [
    (r"feat_enhance_module\.patch_embed\.norm\.(.+)", r"completion.norm_in.\1"),
    (r"feat_enhance_module\.norm\.(.+)", r"completion.norm_out.\1"),
    (r"feat_enhance_module\.conv_after_body\.(.+)", r"completion.conv_after_body.\1"),
    (r"feat_enhance_module\.output_proj\.0\.(.+)", r"completion.output_proj.\1"),
    (r"feat_enhance_module\.layers\.(\d+)\.conv\.(.+)", r"completion.groups.\1.conv.\2"),
    *(
        (
            rf"feat_enhance_module\.layers\.(\d+)\.residual_group\.blocks\.(\d+)\.{theirs}",
            rf"completion.groups.\1.blocks.\2.{ours}",
        )
        for theirs, ours in (
            (r"mlp\.fc1\.(.+)", r"mlp.0.\3"),
            (r"mlp\.fc2\.(.+)", r"mlp.2.\3"),
            (r"((?:norm\d|attn)\..+)", r"\3"),
        )
    ),
]
EXPERTS: list[Rule] = [
    (r"feat_prompt_module\.clip\.(visual\..+)", r"embedder.\1"),
    (r"feat_prompt_module\.clip_mlp\.(.+)", r"experts.adapter.\1"),
    (r"feat_prompt_module\.gate\.(.+)", r"experts.gate.\1"),
    (r"feat_prompt_module\.patch_embed\.norm\.(.+)", r"experts.norm.\1"),
    (r"feat_prompt_module\.norm\.(.+)", r"experts.expert_norm.\1"),
    (r"feat_prompt_module\.channel_pooling\.0\.(.+)", r"experts.channel_attention.condition.\1"),
    (r"feat_prompt_module\.w([qkv])\.(.+)", r"experts.channel_attention.\1.\2"),
    (r"feat_prompt_module\.ca_mlp\.(.+)", r"experts.channel_attention.mlp.\1"),
    *(
        (rf"feat_prompt_module\.{theirs}", rf"experts.experts.{expert}.{ours}")
        for expert, suffix in enumerate(("", "_1"))
        for theirs, ours in (
            (rf"conv_after_body{suffix}\.(.+)", r"conv_after_body.\1"),
            (rf"layers{suffix}\.(\d+)\.conv\.(.+)", r"blocks.\1.conv.\2"),
            (rf"layers{suffix}\.(\d+)\.residual_group\.td", r"blocks.\1.dictionary"),
            *(
                (rf"layers{suffix}\.(\d+)\.residual_group\.layers\.(\d+)\.{inner}", rf"blocks.\1.layers.\2.{outer}")
                for inner, outer in (
                    (r"norm3\.(.+)", r"refinement.\3"),
                    (r"sigma", r"refinement.sigma"),
                    (r"convffn\.dwconv\.depthwise_conv\.0\.(.+)", r"convffn.dwconv.\3"),
                    (r"((?:norm[12]|attn_atd|convffn\.fc\d)\..+)", r"\3"),
                )
            ),
        )
    ),
]
PROPAGATION: list[Rule] = [
    (r"feat_prop_module\.deform_align\.(.+)", r"propagation.align.\1"),
    (r"feat_prop_module\.backbone\.(.+)", r"propagation.mix.\1"),
    (r"feat_prop_module\.fusion\.(.+)", r"propagation.fusion.\1"),
]
TRANSFORMER: list[Rule] = [
    (r"ss\.(.+)", r"transformer.split.\1"),
    (r"sc\.(.+)", r"transformer.compose.\1"),
    (r"transformer\.(\d+)\.pool_layers\.0\.(.+)", r"transformer.blocks.\1.attn.pool.\2"),
    (r"transformer\.(\d+)\.mlp\.conv1\.0\.(.+)", r"transformer.blocks.\1.mlp.conv1.\2"),
    (r"transformer\.(\d+)\.mlp\.conv2\.1\.(.+)", r"transformer.blocks.\1.mlp.conv2.\2"),
    (r"transformer\.(\d+)\.((?:norm\d|attn)\..+)", r"transformer.blocks.\1.\2"),
]
DECODER: list[Rule] = [
    (r"decoder\.0\.conv\.(.+)", r"decoder.up1.\1"),
    (r"decoder\.2\.(.+)", r"decoder.conv1.\1"),
    (r"decoder\.4\.conv\.(.+)", r"decoder.up2.\1"),
    (r"decoder\.6\.(.+)", r"decoder.conv2.\1"),
]
COMPUTED = (
    r".*\.relative_position_index(_SA)?",
    r".*\.valid_ind_rolled",
    r"update_spynet\.(mean|std)",
)
UNUSED = (
    r"feat_prompt_module\.layers(_1)?\.\d+\.residual_group\.layers\.\d+\.wqkv\..+",  # computed and thrown away
    r"feat_prompt_module\.clip\.(?!visual\.).+",  # the text tower
)
SQUEEZED = ("experts.channel_attention.condition.weight", "augmentation.scale")


def _generator(*parts: list[Rule]) -> KeyMap:
    shared = (ENCODER, FLOW, PROPAGATION, TRANSFORMER, DECODER)
    return KeyMap(tuple(rule for part in (*shared, *parts) for rule in part), COMPUTED, UNUSED, SQUEEZED)


GENERATORS: dict[str, KeyMap] = {
    "b2scvr": _generator(AUGMENTATION, COMPLETION, EXPERTS),
    "bscvr-p": _generator(COMPLETION),
    "e2fgvi-hq": _generator(),
}
DISCRIMINATOR = KeyMap(rules=((r"(conv\..+)", r"\1"),))
SPYNET = KeyMap(
    rules=tuple((rule.replace(r"update_spynet\.", ""), name.replace("flow.", "")) for rule, name in FLOW),
    computed=("mean", "std"),
)
MARKS = (  # the first that some name begins with tells the kind
    ("feat_prompt_module.", "b2scvr"),
    ("feat_refine_module.", "bscvr-s"),
    ("feat_enhance_module.", "bscvr-p"),
    ("ss.embedding.", "e2fgvi-hq"),
    ("conv.0.weight_orig", "discriminator"),
    ("sam_mask_decoder.neck.", "detector"),
)


def recognise(names: Iterable[str]) -> str | None:
    """Return the kind of published network whose weights have these names, or None for a network that is not known.

    Besides the kinds of GENERATORS: "bscvr-s", "discriminator" and "detector".
    """
    names = list(names)
    return next((kind for mark, kind in MARKS if any(name.startswith(mark) for name in names)), None)
