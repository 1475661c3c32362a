"""Names of the published recovery generator's 1,100 tensors, written short: {a,b} and {0-3} stand for each of them."""

import itertools
import re

import pytest

WB = "{weight,bias}"
GENERATOR = f"""
sam2_encoder.encoder.{{pos_embed,pos_embed_window}}
sam2_encoder.encoder.patch_embed.proj.{WB}
sam2_encoder.encoder.blocks.{{0-11}}.{{norm1,attn.qkv,attn.proj,norm2,mlp.layers.0,mlp.layers.1}}.{WB}
sam2_encoder.encoder.blocks.{{1,3,10}}.proj.{WB}
encoder.layers.{{0,2,4,6,8,10,12,14,16}}.{WB}
update_spynet.{{mean,std}}
update_spynet.basic_module.{{0-5}}.basic_module.{{0-4}}.conv.{WB}
sam_fuser.learnable_weight
sam_fuser.{{enc,dec}}{{1-4}}.{WB}
sam_fuser.attn{{1-4}}.{{q,k,v,out}}_proj.{WB}
feat_enhance_module.{{patch_embed.norm,layers.0.conv,norm,conv_after_body,output_proj.0}}.{WB}
feat_enhance_module.layers.0.residual_group.blocks.{{0-2}}.{{norm1,attn.qkv,attn.proj,norm2,mlp.fc1,mlp.fc2}}.{WB}
feat_enhance_module.layers.0.residual_group.blocks.{{0-2}}.attn.relative_position_{{bias_table,index}}
feat_prompt_module.relative_position_index_SA
feat_prompt_module.{{patch_embed.norm,norm,conv_after_body,conv_after_body_1,channel_pooling.0,wq,wk,wv}}.{WB}
feat_prompt_module.{{clip_mlp.0,clip_mlp.2,clip_mlp.4,clip_mlp.6,gate.0,gate.2,gate.4,ca_mlp.0,ca_mlp.2}}.{WB}
feat_prompt_module.{{layers,layers_1}}.{{0,1}}.residual_group.td
feat_prompt_module.{{layers,layers_1}}.{{0,1}}.conv.{WB}
feat_prompt_module.{{layers,layers_1}}.{{0,1}}.residual_group.layers.{{0-2}}.{{norm1,norm2,wqkv}}.{WB}
feat_prompt_module.{{layers,layers_1}}.{{0,1}}.residual_group.layers.{{0-2}}.attn_atd.scale
feat_prompt_module.{{layers,layers_1}}.{{0,1}}.residual_group.layers.{{0-2}}.attn_atd.w{{q,k,v}}.{WB}
feat_prompt_module.{{layers,layers_1}}.{{0,1}}.residual_group.layers.{{0-2}}.convffn.{{fc1,fc2,dwconv.depthwise_conv.0}}.{WB}
feat_prompt_module.{{layers,layers_1}}.{{0,1}}.residual_group.layers.{{0,1}}.{{sigma,norm3.weight,norm3.bias}}
feat_prompt_module.clip.{{positional_embedding,text_projection,logit_scale,token_embedding.weight}}
feat_prompt_module.clip.ln_final.{WB}
feat_prompt_module.clip.visual.{{class_embedding,positional_embedding,proj,conv1.weight}}
feat_prompt_module.clip.visual.{{ln_pre,ln_post}}.{WB}
feat_prompt_module.clip.{{visual.,}}transformer.resblocks.{{0-11}}.{{ln_1,ln_2,attn.out_proj,mlp.c_fc,mlp.c_proj}}.{WB}
feat_prompt_module.clip.{{visual.,}}transformer.resblocks.{{0-11}}.attn.in_proj_{WB}
feat_prop_module.deform_align.{{backward_,forward_}}.{WB}
feat_prop_module.deform_align.{{backward_,forward_}}.conv_offset.{{0,2,4,6}}.{WB}
feat_prop_module.backbone.{{backward_,forward_}}.{{0,2}}.{WB}
feat_prop_module.fusion.{WB}
{{ss.embedding,sc.embedding,sc.bias_conv}}.{WB}
transformer.{{0-7}}.{{pool_layers.0,norm1,norm2,attn.qkv,attn.proj,mlp.conv1.0,mlp.conv2.1}}.{WB}
transformer.{{0-7}}.attn.valid_ind_rolled
decoder.{{0.conv,2,4.conv,6}}.{WB}
"""


def alternatives(choice):
    """What stands between two braces."""
    if match := re.fullmatch(r"(\d+)-(\d+)", choice):
        return [str(number) for number in range(int(match[1]), int(match[2]) + 1)]
    return choice.split(",")


def expand(line):
    """All names that a line stands for."""
    parts = re.split(r"\{([^}]*)\}", line)
    choices = [alternatives(part) if index % 2 else [part] for index, part in enumerate(parts)]
    return ["".join(chosen) for chosen in itertools.product(*choices)]


@pytest.fixture(scope="session")
def generator_names():
    return [name for line in GENERATOR.split() for name in expand(line)]
