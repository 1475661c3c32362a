"""The detection network: SAM 2.1 prompted by the bitstream, a comparison at full resolution, and the raster prior."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from b2scvr.backbones.dinov2 import FieldEmbedder
from b2scvr.backbones.sam2 import PictureFeatures, SegmentAnything
from b2scvr.dac.decoder import (
    PLACE_CHANNELS,
    POSITION_CHANNELS,
    Comparison,
    MacroblockHead,
    PixelHead,
    raster_position,
)
from b2scvr.dac.neck import PromptingNeck
from b2scvr.dac.prompts import DensePrompts, PromptTokens, parse_prompts
from b2scvr.ops.change_point import wrong_probability
from b2scvr.ops.evidence import GROUPS
from b2scvr.ops.padding import pad_to_multiple
from b2scvr.ops.resize import resize
from b2scvr.registry import MODELS
from b2scvr.types import MB_SIZE

MAX_PRIOR_LOGIT = 6.0  # the prior of a pixel is at most 0.9975 sure: what the pixel itself shows keeps a say
CONCEALED_PROMPT = 10.0  # mask prompt of a concealed macroblock; minus that elsewhere


@dataclass
class DetectorOutput:
    """What the detector says of a batch of pictures of h x w macroblocks."""

    mask_logits: Tensor  # [B, 1, 4h, 4w], a pixel is visibly wrong; a quarter of the picture padded to macroblocks
    macroblock_logits: Tensor  # [B, h, w], evidence of each macroblock that it is wrong
    macroblock_probability: Tensor  # [B, h, w] in [0, 1], with the raster prior where the picture is broken; 1 where
    # the decoder concealed the macroblock and the network was told
    temperature: Tensor  # scalar > 0, of the change point's posterior
    iou_prediction: Tensor  # [B] in [0, 1], expected IoU of the mask


@MODELS.register_module()
class Detector(nn.Module):
    """Which macroblocks and pixels of a damaged picture are wrong.

        picture, nearest other pictures -> SAM's image encoder -> memory attention -> neck, prompted -> mask decoder
        picture, fill, nearest picture  -> comparison at full resolution
        both, evidence, raster position -> macroblock logits z -> change point -> P(macroblock is wrong)
        mask logit = mask decoder + pixel head + logit of P

    The last line is Bayes' rule in log odds: what the macroblock says is the prior of its pixels.

    prompts: names of prompts.PROMPTS, or "none", "all", "mv+pm" ...: what is read of the bitstream; without "concealed"
    there is no raster prior either. use_fill: whether the classical fill, which vectors helped to make, is compared; sam,
    tokens, neck: arguments of SegmentAnything, PromptTokens and PromptingNeck; temperature: where the change point's
    starts; sam_weights: name in checkpoints.known of the published weights that `load_pretrained` gives to SAM's parts.
    """

    def __init__(
        self,
        prompts: str | Sequence[str] = "all",
        use_fill: bool = True,
        sam: Mapping[str, Any] | None = None,
        tokens: Mapping[str, Any] | None = None,
        neck: Mapping[str, Any] | None = None,
        comparison_width: int = 16,
        quarter_dim: int = 32,
        macroblock_dim: int = 64,
        dense_dim: int = 32,
        dilations: Sequence[int] = (1, 2, 4),
        temperature: float = 24.0,
        sam_weights: str | None = None,
    ) -> None:
        super().__init__()
        self.sam_weights = sam_weights
        sam = dict(sam or {})
        dim = sam.get("d_model", 256)
        self.prompts = parse_prompts(prompts)
        self.told_of_concealment = "concealed" in self.prompts
        self.sam = SegmentAnything(**sam, mask_prompt=self.told_of_concealment)
        self.tokens = PromptTokens(dim, self.prompts, **(tokens or {}))
        self.neck = PromptingNeck(dim, self.tokens.num_tokens, **(neck or {}))
        maps = [name for name in self.prompts if name in GROUPS]
        self.dense = DensePrompts(maps, dense_dim, dim) if maps else None
        self.comparison = Comparison(use_fill, comparison_width, quarter_dim, macroblock_dim)
        known = macroblock_dim + dim // 8 + (dense_dim if maps else 0)
        position = POSITION_CHANNELS if self.told_of_concealment else PLACE_CHANNELS
        self.macroblock_head = MacroblockHead(known, macroblock_dim, dilations, position)
        self.pixel_head = PixelHead(quarter_dim, macroblock_dim)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)))

    def load_pretrained(self, paths: Mapping[str, str] | None = None) -> dict[str, str]:
        """Give the backbones their published weights and return the SHA-256 of the files by name.

        paths: name in checkpoints.known -> file; the others are looked for (`known.find_weights`). MissingWeightsError says
        which file is wanted, and from where.
        """
        found: dict[str, str] = {}
        if self.sam_weights is not None:
            found |= self.sam.load_pretrained(self.sam_weights, paths or {})
        embedder = getattr(self.tokens, "embedder", None)
        if isinstance(embedder, FieldEmbedder):
            found |= embedder.load_pretrained(paths or {})
        return found

    def forward(
        self,
        window: Tensor,
        current: int,
        fill: Tensor,
        evidence: Tensor,
        concealed: Tensor,
        slice_start: Tensor,
        broken: Tensor,
        memories: Sequence[tuple[Tensor, Tensor]] | None = None,
    ) -> DetectorOutput:
        """Detect. h = ceil(H / 16), w = ceil(W / 16).

        window: [B, N, 3, H, W] in [0, 1], the damaged picture at `current`; fill: [B, 3, H, W]; evidence: [B, C, h, w]
        as by ops.evidence; concealed, slice_start: bool [B, h, w]; broken: bool [B]; memories: what `remember` said of the
        other pictures of the window, nearest first, where it is known already.
        """
        decoded = pad_to_multiple(window[:, current], MB_SIZE)
        fill = pad_to_multiple(fill, MB_SIZE)
        if not self.told_of_concealment:
            concealed, slice_start, broken = (torch.zeros_like(known) for known in (concealed, slice_start, broken))
        order = nearest_first(window.shape[1], current)
        others = [pad_to_multiple(window[:, i], MB_SIZE) for i in order[: max(1, self.sam.num_memories)]] or [fill]
        grid = (concealed.shape[1], concealed.shape[2])

        dense, prompt = self.dense(evidence, self.sam.grid) if self.dense else (None, None)
        coarse_mask, iou, fine = self._segment(decoded, others, evidence, concealed, prompt, memories)
        quarter, compared = self.comparison(decoded, fill, others[0])
        maps = [compared, resize(fine, grid)] + ([] if dense is None else [dense])
        features, logits = self.macroblock_head(maps, raster_position(slice_start, concealed))

        temperature = self.log_temperature.exp()
        probability = wrong_probability(logits, slice_start, concealed, broken, temperature)
        prior = probability.logit(torch.sigmoid(probability.new_tensor(-MAX_PRIOR_LOGIT)).item())
        pixels = self.pixel_head(quarter, features)
        pixels = pixels + F.interpolate(coarse_mask, pixels.shape[-2:], mode="bilinear", align_corners=False)
        mask = pixels + F.interpolate(prior[:, None], scale_factor=4, mode="nearest")
        return DetectorOutput(mask, logits, probability.masked_fill(concealed, 1.0), temperature, iou)

    @property
    def num_memories(self) -> int:
        """How many other pictures are remembered."""
        return self.sam.num_memories

    def remember(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Return the memory of a picture in which nothing is damaged, [B, 3, H, W] in [0, 1], for later calls."""
        return self.sam.remember(self.sam.encode(pad_to_multiple(picture, MB_SIZE)))

    def _segment(
        self,
        decoded: Tensor,
        others: list[Tensor],
        evidence: Tensor,
        concealed: Tensor,
        prompt: Tensor | None,
        memories: Sequence[tuple[Tensor, Tensor]] | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return SAM's mask logits, predicted IoU and upscaled features, see SegmentAnything.decode."""
        batch = len(decoded)
        remembered = [] if memories is not None else others[: self.sam.num_memories]
        features = self.sam.encode(torch.cat((decoded, *remembered)))
        current = features.select(slice(0, batch))
        if memories is None:
            memories = [self.sam.remember(_nth(features, i + 1, batch)) for i in range(len(remembered))]
        image = self.neck(self.sam.attend(current, memories), self.tokens(evidence))
        mask = (2 * concealed[:, None].to(image.dtype) - 1) * CONCEALED_PROMPT if self.told_of_concealment else None
        return self.sam.decode(image, current, prompt, mask)


def nearest_first(count: int, current: int) -> list[int]:
    """Return the positions of the other pictures of a window, nearest to `current` first, earlier before later."""
    return sorted((i for i in range(count) if i != current), key=lambda i: (abs(i - current), i))


def _nth(features: PictureFeatures, position: int, batch: int) -> PictureFeatures:
    """Return the features of the pictures that were encoded as number `position` of each sample."""
    return features.select(slice(position * batch, (position + 1) * batch))
