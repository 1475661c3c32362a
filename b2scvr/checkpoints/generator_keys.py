"""Names of the published recovery networks' weights -> ours (B2SCVR, BSCVR-P, E2FGVI-HQ and their discriminator).

The three networks use the same names for what they share.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

Rule = tuple[str, str]  # pattern of a whole published name, template of ours

ENCODER = [
    *((rf"encoder\.layers\.{2 * i}\.(.+)", rf"encoder.stem.{i}.\1") for i in range(4)),
    *((rf"encoder\.layers\.{2 * i + 8}\.(.+)", rf"encoder.tail.{i}.\1") for i in range(5)),
]
FLOW = [
    (rf"update_spynet\.basic_module\.(\d)\.basic_module\.{i}\.conv\.(.+)", rf"flow.levels.\1.{2 * i}.\2")
    for i in range(5)
]
AUGMENTATION = [
    (r"sam2_encoder\.(.+)", r"trunk.\1"),
    (r"sam_fuser\.learnable_weight", r"augmentation.scale"),
    (r"sam_fuser\.dec4\.(.+)", r"augmentation.out.\1"),
    *((rf"sam_fuser\.(enc|attn|dec){i + 1}\.(.+)", rf"augmentation.\1.{i}.\2") for i in range(4)),
]
COMPLETION = [
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
EXPERTS = [
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
PROPAGATION = [
    (r"feat_prop_module\.deform_align\.(.+)", r"propagation.align.\1"),
    (r"feat_prop_module\.backbone\.(.+)", r"propagation.mix.\1"),
    (r"feat_prop_module\.fusion\.(.+)", r"propagation.fusion.\1"),
]
TRANSFORMER = [
    (r"ss\.(.+)", r"transformer.split.\1"),
    (r"sc\.(.+)", r"transformer.compose.\1"),
    (r"transformer\.(\d+)\.pool_layers\.0\.(.+)", r"transformer.blocks.\1.attn.pool.\2"),
    (r"transformer\.(\d+)\.mlp\.conv1\.0\.(.+)", r"transformer.blocks.\1.mlp.conv1.\2"),
    (r"transformer\.(\d+)\.mlp\.conv2\.1\.(.+)", r"transformer.blocks.\1.mlp.conv2.\2"),
    (r"transformer\.(\d+)\.((?:norm\d|attn)\..+)", r"transformer.blocks.\1.\2"),
]
DECODER = [
    (r"decoder\.0\.conv\.(.+)", r"decoder.up1.\1"),
    (r"decoder\.2\.(.+)", r"decoder.conv1.\1"),
    (r"decoder\.4\.conv\.(.+)", r"decoder.up2.\1"),
    (r"decoder\.6\.(.+)", r"decoder.conv2.\1"),
]
DISCRIMINATOR = [(r"conv\.(.+)", r"conv.\1")]

COMPUTED = (  # our networks compute these from their sizes
    r".*\.relative_position_index(_SA)?",
    r".*\.valid_ind_rolled",
    r"update_spynet\.(mean|std)",
)
UNUSED = (  # stored, but read by no part of the published forward pass
    r"feat_prompt_module\.layers(_1)?\.\d+\.residual_group\.layers\.\d+\.wqkv\..+",
    r"feat_prompt_module\.clip\.(?!visual\.).+",  # the text tower
)
LINEAR = ("experts.channel_attention.condition.weight", "augmentation.scale")  # 1x1 convolutions and scalars of theirs

_SHARED = ENCODER + FLOW + PROPAGATION + TRANSFORMER + DECODER
RULES: dict[str, list[Rule]] = {
    "b2scvr": _SHARED + AUGMENTATION + COMPLETION + EXPERTS,
    "bscvr-p": _SHARED + COMPLETION,
    "e2fgvi-hq": _SHARED,
    "discriminator": DISCRIMINATOR,
}
MARKS = (  # the first whose beginning some name has tells the kind
    ("feat_prompt_module.", "b2scvr"),
    ("feat_refine_module.", "bscvr-s"),
    ("feat_enhance_module.", "bscvr-p"),
    ("ss.embedding.", "e2fgvi-hq"),
    ("conv.0.weight_orig", "discriminator"),
)


@dataclass
class Translation:
    """Weights under our names, and the published names that have none."""

    weights: dict[str, Tensor] = field(default_factory=dict)
    computed: list[str] = field(default_factory=list)  # constants that our networks compute
    unused: list[str] = field(default_factory=list)  # read by no part of the network
    unknown: list[str] = field(default_factory=list)  # of another network


def recognise(names: Iterable[str]) -> str | None:
    """Return the kind of network whose published weights have these names: a key of RULES, "bscvr-s", or None."""
    names = list(names)
    return next((kind for mark, kind in MARKS if any(name.startswith(mark) for name in names)), None)


def translate(published: Mapping[str, Tensor], kind: str) -> Translation:
    """Return published weights under our names; values are theirs, 1x1 convolutions become linear layers.

    kind: a key of RULES. Raises ValueError for another one.
    """
    if kind not in RULES:
        raise ValueError(f"kind must be one of {', '.join(RULES)}, got {kind!r}")
    rules = [(re.compile(pattern), template) for pattern, template in RULES[kind]]
    out = Translation()
    for name, value in published.items():
        found = next(((match, template) for rule, template in rules if (match := rule.fullmatch(name))), None)
        if _any_matches(COMPUTED, name):
            out.computed.append(name)
        elif _any_matches(UNUSED, name):
            out.unused.append(name)
        elif found is None:
            out.unknown.append(name)
        else:
            ours = found[0].expand(found[1])
            out.weights[ours] = _squeeze(value) if ours in LINEAR else value
    return out


def _any_matches(patterns: Iterable[str], name: str) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in patterns)


def _squeeze(value: Tensor) -> Tensor:
    """Drop the axes of length 1 behind the first."""
    return value.reshape(value.shape[0], *(side for side in value.shape[1:] if side != 1))
