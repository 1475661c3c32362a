"""SAM 2.1 (Ravi et al., 2024) out of the parts of the `sam2` package, which is imported here and nowhere else.

The package's predictors track objects through a video; detection needs the parts in another order, so they are put
together here: image encoder, memory of other pictures, prompt encoder and mask decoder. Defaults are the sizes of
SAM 2.1 Hiera-tiny; parameter names are the package's own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from sam2.modeling.backbones.hieradet import Hiera
from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
from sam2.modeling.memory_attention import MemoryAttention, MemoryAttentionLayer
from sam2.modeling.memory_encoder import CXBlock, Fuser, MaskDownSampler, MemoryEncoder
from sam2.modeling.position_encoding import PositionEmbeddingSine
from sam2.modeling.sam.mask_decoder import MaskDecoder
from sam2.modeling.sam.prompt_encoder import PromptEncoder
from sam2.modeling.sam.transformer import RoPEAttention, TwoWayTransformer
from torch import Tensor, nn

from b2scvr.checkpoints.detector_keys import SEGMENT_ANYTHING
from b2scvr.checkpoints.keys import KeyMap, load_published
from b2scvr.checkpoints.known import KNOWN, require_weights, sha256_of
from b2scvr.checkpoints.load import WeightsMismatchError, compare_keys, read_weights
from b2scvr.ops.normalise import IMAGENET, normalise
from b2scvr.ops.resize import resize

STRIDE = 16  # of the feature that memory and decoder work on, in pixels of the square picture
PATCH_STRIDE = 4  # of the trunk's finest map
TRUNK = KeyMap(rules=((r"image_encoder\.trunk\.(.+)", r"\1"),), unused=(r"(?!image_encoder\.trunk\.).+",))
MEMORY_PARTS = ("memory_", "maskmem_", "no_mem_embed")  # of which a detector has one kind or the other
EMPTY_MASK = -10.0  # what SAM 2 gives its memory encoder where nothing is: 20 * sigmoid(-inf) - 10


@dataclass
class PictureFeatures:
    """Features of square pictures of side 16 g: coarse [B, dim, g, g], its positions, and two finer maps."""

    coarse: Tensor  # stride 16
    position: Tensor  # as coarse, sine position encoding
    quarter: Tensor  # [B, dim / 8, 4g, 4g]
    eighth: Tensor  # [B, dim / 4, 2g, 2g]

    def select(self, pictures: slice) -> PictureFeatures:
        """Return the features of some of the pictures."""
        return PictureFeatures(
            self.coarse[pictures], self.position[pictures], self.quarter[pictures], self.eighth[pictures]
        )


class UpscalingMaskDecoder(MaskDecoder):
    """SAM's mask decoder, whose upscaled features come back beside the mask of the first mask token."""

    def forward(  # type: ignore[override]
        self, image: Tensor, position: Tensor, sparse: Tensor, dense: Tensor, features: PictureFeatures
    ) -> tuple[Tensor, Tensor, Tensor]:
        """image, dense: [B, dim, g, g]; position: [1, dim, g, g]; sparse: [B, tokens, dim].

        Returns mask logits [B, 1, 4g, 4g], predicted IoU [B] and features [B, dim / 8, 4g, 4g].
        """
        own = torch.cat((self.iou_token.weight, self.mask_tokens.weight))
        tokens = torch.cat((own.expand(len(image), -1, -1), sparse), 1)
        queries, keys = self.transformer(image + dense, position.expand_as(image), tokens)
        source = keys.transpose(1, 2).reshape(image.shape)
        up1, norm, gelu1, up2, gelu2 = self.output_upscaling
        fine = gelu2(up2(gelu1(norm(up1(source) + features.eighth))) + features.quarter)
        weights = self.output_hypernetworks_mlps[0](queries[:, 1])
        mask = torch.einsum("bc,bchw->bhw", weights, fine)[:, None]
        return mask, self.iou_prediction_head(queries[:, 0])[:, 0], fine


class SegmentAnything(nn.Module):
    """The parts of SAM 2.1 for pictures of any size, shown to it as squares of `image_size`.

    stages, window_spec, global_att_blocks: of the Hiera trunk; d_model: channels of FPN, memory attention and mask
    decoder; memory_dim: channels of a memory; num_memories: the most pictures that are remembered (0: memory is left
    out); num_mask_tokens: 4 in the published model, one of them is used here; mask_prompt: the decoder is prompted by a
    mask. What a configuration does not use is frozen, so that every trainable parameter gets a gradient.
    """

    def __init__(
        self,
        image_size: int = 1024,
        embed_dim: int = 96,
        stages: Sequence[int] = (1, 2, 7, 2),
        window_spec: Sequence[int] = (8, 4, 14, 7),
        global_att_blocks: Sequence[int] = (5, 7, 9),
        background_size: Sequence[int] = (7, 7),
        trunk_heads: int = 1,
        d_model: int = 256,
        memory_dim: int = 64,
        memory_layers: int = 4,
        memory_hidden: int = 2048,
        num_memories: int = 6,
        num_heads: int = 8,
        decoder_hidden: int = 2048,
        num_mask_tokens: int = 4,
        dropout: float = 0.1,
        layer_scale: float = 1e-6,
        mask_prompt: bool = True,
    ) -> None:
        super().__init__()
        if image_size % (2 * STRIDE):
            raise ValueError(f"image_size must be a multiple of {2 * STRIDE}, got {image_size}")
        self.image_size = image_size
        self.grid = image_size // STRIDE
        self.num_memories = num_memories
        self.image_encoder = build_image_encoder(
            embed_dim, stages, window_spec, global_att_blocks, background_size, d_model, trunk_heads
        )
        if num_memories:
            self.memory_attention = build_memory_attention(
                d_model, memory_dim, memory_layers, memory_hidden, self.grid, dropout
            )
            self.memory_encoder = build_memory_encoder(d_model, memory_dim, layer_scale)
            self.maskmem_tpos_enc = nn.Parameter(torch.empty(num_memories, 1, 1, memory_dim).normal_(std=0.02))
        else:
            self.no_mem_embed = nn.Parameter(torch.empty(1, 1, d_model).normal_(std=0.02))
        self.sam_prompt_encoder = PromptEncoder(
            d_model, (self.grid, self.grid), (image_size, image_size), mask_in_chans=16
        )
        _freeze_unused_prompts(self.sam_prompt_encoder, mask_prompt)
        self.sam_mask_decoder = UpscalingMaskDecoder(
            transformer_dim=d_model,
            transformer=TwoWayTransformer(2, d_model, num_heads, decoder_hidden),
            num_multimask_outputs=num_mask_tokens - 1,
            iou_head_hidden_dim=d_model,
            use_high_res_features=True,
            iou_prediction_use_sigmoid=True,
        )
        self.sam_mask_decoder.output_hypernetworks_mlps[1:].requires_grad_(False)
        settle_rotary_tables(self, self.grid, torch.device("cpu"))

    def load_pretrained(self, name: str, paths: Mapping[str, str]) -> dict[str, str]:
        """Load the published weights called `name` (checkpoints.known), from `paths` (by name) or where they are found.

        Returns their SHA-256 by name. MissingWeightsError says which file is wanted, and from where.
        """
        path = require_weights(KNOWN[name], paths.get(name))
        found = SEGMENT_ANYTHING.translate(read_weights(path))
        weights, own = found.weights, self.state_dict()
        if "maskmem_tpos_enc" in own:
            # The published rows: the frame before, the one before that, ..., and last the frame that was clicked on.
            weights["maskmem_tpos_enc"] = weights["maskmem_tpos_enc"][: self.num_memories]
        weights |= {key: torch.empty(0) for key in found.unknown}
        fitting = {key: value for key, value in weights.items() if key in own or not key.startswith(MEMORY_PARTS)}
        problems = compare_keys(own, fitting)
        if problems:
            raise WeightsMismatchError(f"{path}: not the weights of {name}: {problems}")
        self.load_state_dict(fitting, strict=True)
        return {name: sha256_of(path)}

    def encode(self, pictures: Tensor) -> PictureFeatures:
        """pictures: [B, 3, H, W] in [0, 1], any size; they are stretched to the square."""
        square = resize(pictures, (self.image_size, self.image_size))
        out = self.image_encoder(normalise(square, IMAGENET))
        quarter, eighth, coarse = out["backbone_fpn"]
        decoder = self.sam_mask_decoder
        return PictureFeatures(coarse, out["vision_pos_enc"][-1], decoder.conv_s0(quarter), decoder.conv_s1(eighth))

    def remember(self, features: PictureFeatures) -> tuple[Tensor, Tensor]:
        """Return memory and positions, [B, memory_dim, g, g] each, of pictures in which nothing is damaged."""
        coarse = features.coarse
        empty = coarse.new_full((len(coarse), 1, self.image_size, self.image_size), EMPTY_MASK)
        out = self.memory_encoder(coarse, empty, skip_mask_sigmoid=True)
        return out["vision_features"], out["vision_pos_enc"][0]

    def attend(self, features: PictureFeatures, memories: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Return the coarse feature [B, dim, g, g] after it looked at `memories`, nearest first."""
        current = features.coarse.flatten(2).permute(2, 0, 1)
        if not self.num_memories:
            return features.coarse + self.no_mem_embed.reshape(1, -1, 1, 1)
        if not 0 < len(memories) <= self.num_memories:
            raise ValueError(f"expected 1 to {self.num_memories} memories, got {len(memories)}")
        tokens = [memory.flatten(2).permute(2, 0, 1) for memory, _ in memories]
        positions = [
            position.flatten(2).permute(2, 0, 1) + self.maskmem_tpos_enc[rank]
            for rank, (_, position) in enumerate(memories)
        ]
        out = self.memory_attention(
            curr=current,
            curr_pos=features.position.flatten(2).permute(2, 0, 1),
            memory=torch.cat(tokens),
            memory_pos=torch.cat(positions),
        )
        return out.permute(1, 2, 0).reshape(features.coarse.shape)

    def decode(
        self, image: Tensor, features: PictureFeatures, dense: Tensor | None, mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return mask logits [B, 1, 4g, 4g], predicted IoU [B] in [0, 1] and upscaled features [B, dim / 8, 4g, 4g].

        image: [B, dim, g, g]; dense: prompts added to it, or None; mask: a mask prompt [B, 1, rows, columns], or None.
        """
        encoder = self.sam_prompt_encoder
        if mask is not None:
            mask = F.interpolate(mask, encoder.mask_input_size, mode="bilinear", align_corners=False)
        sparse, prompt = encoder(points=None, boxes=None, masks=mask)
        sparse = image.new_zeros(len(image), *sparse.shape[1:])  # the encoder counts no batch without a prompt
        prompt = prompt if dense is None else prompt + dense
        return self.sam_mask_decoder(image, encoder.get_dense_pe(), sparse, prompt.expand_as(image), features)

    def _apply(self, fn, recurse=True):  # type: ignore[no-untyped-def]
        super()._apply(fn, recurse)
        settle_rotary_tables(self, self.grid, self.sam_mask_decoder.iou_token.weight.device)
        return self


class HieraTrunk(nn.Module):
    """The image trunk on its own: picture -> maps at strides 4, 8, 16, 32, as many as `stages`.

    published: name in checkpoints.known of SAM 2.1 of this size, for `load_pretrained`.
    """

    def __init__(
        self,
        embed_dim: int = 96,
        stages: Sequence[int] = (1, 2, 7, 2),
        window_spec: Sequence[int] = (8, 4, 14, 7),
        global_att_blocks: Sequence[int] = (5, 7, 9),
        background_size: Sequence[int] = (7, 7),
        heads: int = 1,
        published: str = "sam2.1_hiera_t",
    ) -> None:
        super().__init__()
        self.encoder = _hiera(embed_dim, stages, window_spec, global_att_blocks, background_size, heads)
        self.channels = tuple(self.encoder.channel_list[::-1])  # finest first
        # The window embedding is tiled over the finest map, and every stage halves it.
        self.multiple = PATCH_STRIDE * math.lcm(window_spec[0], 2 ** (len(self.channels) - 1))
        self.published = published

    def load_pretrained(self, paths: Mapping[str, str]) -> dict[str, str]:
        """Load the trunk of the published SAM 2.1; as SegmentAnything.load_pretrained."""
        path = require_weights(KNOWN[self.published], paths.get(self.published))
        load_published(path, self.encoder, TRUNK)
        return {self.published: sha256_of(path)}

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """pictures: [B, 3, H, W], H and W multiples of `multiple`, normalised by ImageNet's statistics.

        Returns [B, channels[i], H / 4 / 2^i, W / 4 / 2^i], finest first. Raises ValueError for another size.
        """
        height, width = pictures.shape[-2:]
        if height % self.multiple or width % self.multiple:
            raise ValueError(f"the trunk takes sizes that are multiples of {self.multiple}, got {height}x{width}")
        return self.encoder(pictures)


def settle_rotary_tables(model: nn.Module, grid: int, device: torch.device) -> None:
    """Put the rotary tables, which the package keeps as plain attributes, where the weights are.

    They are computed, never loaded: a model built on the meta device gets them too. The package would move them during a
    forward pass, and a table made in inference mode cannot be trained with later.
    """
    if device.type == "meta":
        return
    with torch.device(device):
        for module in model.modules():
            if isinstance(module, RoPEAttention):
                module.freqs_cis = module.compute_cis(end_x=grid, end_y=grid)


def _hiera(
    embed_dim: int,
    stages: Sequence[int],
    window_spec: Sequence[int],
    global_att_blocks: Sequence[int],
    background_size: Sequence[int],
    heads: int,
) -> Hiera:
    # It reads values while it is built, which the meta device has none of.
    with torch.device("cpu"):
        trunk = Hiera(
            embed_dim=embed_dim,
            num_heads=heads,
            stages=tuple(stages),
            window_spec=tuple(window_spec),
            global_att_blocks=tuple(global_att_blocks),
            window_pos_embed_bkg_spatial_size=tuple(background_size),
        )
    return trunk.to(torch.get_default_device())


def _sine(channels: int) -> PositionEmbeddingSine:
    return PositionEmbeddingSine(channels, normalize=True, scale=None, temperature=10000, warmup_cache=False)


def build_image_encoder(
    embed_dim: int,
    stages: Sequence[int],
    window_spec: Sequence[int],
    global_att_blocks: Sequence[int],
    background_size: Sequence[int],
    d_model: int,
    heads: int = 1,
) -> ImageEncoder:
    """Return the Hiera trunk with its feature pyramid of d_model channels; heads: of the trunk's first stage."""
    trunk = _hiera(embed_dim, stages, window_spec, global_att_blocks, background_size, heads)
    neck = FpnNeck(_sine(d_model), d_model, trunk.channel_list, fpn_top_down_levels=[2, 3], fpn_interp_model="nearest")
    return ImageEncoder(trunk, neck, scalp=1)


def build_memory_attention(
    d_model: int, memory_dim: int, layers: int, hidden: int, grid: int, dropout: float
) -> MemoryAttention:
    """Return attention of a d_model feature of grid x grid positions to memories of memory_dim channels."""

    def attention(**kwargs: object) -> RoPEAttention:
        return RoPEAttention(d_model, num_heads=1, dropout=dropout, feat_sizes=(grid, grid), **kwargs)

    layer = MemoryAttentionLayer(
        activation="relu",
        cross_attention=attention(rope_k_repeat=True, kv_in_dim=memory_dim),
        d_model=d_model,
        dim_feedforward=hidden,
        dropout=dropout,
        pos_enc_at_attn=False,
        pos_enc_at_cross_attn_keys=True,
        pos_enc_at_cross_attn_queries=False,
        self_attention=attention(),
    )
    return MemoryAttention(d_model, pos_enc_at_input=True, layer=layer, num_layers=layers)


def build_memory_encoder(d_model: int, memory_dim: int, layer_scale: float) -> MemoryEncoder:
    """Return the encoder of a feature and a mask into a memory of memory_dim channels."""
    block = CXBlock(d_model, layer_scale_init_value=layer_scale)
    sampler = MaskDownSampler(d_model, kernel_size=3, stride=2, padding=1)
    return MemoryEncoder(memory_dim, sampler, Fuser(block, 2), _sine(memory_dim), in_dim=d_model)


def _freeze_unused_prompts(encoder: PromptEncoder, mask_prompt: bool) -> None:
    """Nobody clicks on damage, so points and boxes are never asked for; of mask and no mask one is."""
    encoder.point_embeddings.requires_grad_(False)
    encoder.not_a_point_embed.requires_grad_(False)
    (encoder.no_mask_embed if mask_prompt else encoder.mask_downscaling).requires_grad_(False)
