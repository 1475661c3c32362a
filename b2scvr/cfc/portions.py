"""The generator's work in portions that can be kept: of a single picture, of two neighbours, of a window.

Legend: C feature channels; h, w the feature grid of the padded picture; H, W the padded picture; L local pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from b2scvr.cfc.experts import ExpertMixture
from b2scvr.cfc.generator import RecoveryGenerator
from b2scvr.layers.winograd import with_winograd
from b2scvr.ops.padding import pad_to_multiple
from b2scvr.ops.warp import ChainedFlow


@dataclass
class PaddedPicture:
    """A picture as the generator takes it: in [-1, 1], padded, batch of one."""

    whole: Tensor  # [1, 3, H, W]
    mask: Tensor  # [1, 1, H, W] in [0, 1], 1 = corrupted
    damaged: bool  # whether the mask has anything in it

    @property
    def outside(self) -> Tensor:
        """What is right of it, zero elsewhere, [1, 3, H, W]."""
        return self.whole * (1 - self.mask) if self.damaged else self.whole


@dataclass
class Content:
    """What is known of the corrupted content of a picture, [1, ...]; None for what the generator has no part for."""

    feature: Tensor | None  # [1, C, h, w], augmented
    embedding: Tensor | None


@dataclass
class LonePicture:
    """What the experts say of a picture that has yet to meet the others of its window."""

    mixture: ExpertMixture
    size: tuple[int, int]  # (h, w) of its feature; the mixture may be mirrored beyond


class GeneratorPortions:
    """`RecoveryGenerator.forward`, clip by clip and picture by picture, so that nothing must be computed twice.

    A window put together from its portions is what `forward` computes, up to rounding. Pictures without damage share
    their content (nothing) where the augmentation looks at the inside of the mask only, which it does in both presets.
    """

    def __init__(self, network: RecoveryGenerator) -> None:
        self.network = network
        self._blank: dict[tuple[int, ...], Content] = {}  # of undamaged pictures, by size

    def pad(self, picture: Tensor, mask: Tensor) -> PaddedPicture:
        """picture: [1, 3, H', W'] in [0, 1]; mask: [1, 1, H', W'] in [0, 1]."""
        whole, mask = (pad_to_multiple(x, self.network.multiple, "mirror") for x in (picture * 2 - 1, mask))
        return PaddedPicture(whole, mask, bool((mask > 0).any()))

    def reference(self, picture: PaddedPicture) -> Tensor:
        """Return the feature [1, C, h, w] of what is right of a picture: all that a reference picture has."""
        return self.network.encoder(picture.outside)

    def local(self, picture: PaddedPicture, known: Tensor) -> Tensor | LonePicture:
        """Return what a local picture is before it meets the others of its window; known: its `reference`."""
        network = self.network
        if network.completion is None and network.experts is None:
            return known
        content = self._content(picture)
        feature = known if network.completion is None else network.completion(known, content.feature)
        if network.experts is None:
            return feature
        mixture = network.experts.mix(feature, content.embedding)
        if network.experts.channel_attention.across_pictures:
            return LonePicture(mixture, (known.shape[-2], known.shape[-1]))
        return network.experts.together(mixture)[..., : known.shape[-2], : known.shape[-1]]

    @property
    def flow_of_pairs(self) -> bool:
        """Whether two neighbours' flow is the same in any window: no holes are filled from the pairs before and after."""
        return self.network.window_flow.needs_network

    def flows(self, pictures: Sequence[PaddedPicture], vectors: Tensor | None = None) -> list[tuple[Tensor, Tensor]]:
        """Return the flow between neighbours among consecutive pictures, there and back, each [1, 1, 2, h, w] cells.

        vectors: of these pictures (cfc.motion), read when the flow comes from them; ValueError when they are wanting then.
        """
        outside = torch.stack([picture.outside for picture in pictures], 1)
        there, back = self.network.window_flow(self.network.flow, outside, vectors)
        return list(zip(there.split(1, 1), back.split(1, 1), strict=True)) if len(pictures) > 1 else []

    def window(
        self,
        local: Sequence[Tensor | LonePicture],
        flows: Sequence[tuple[Tensor, Tensor]],
        references: Sequence[Tensor],
        wanted: Sequence[int],
        keys_only: bool = False,
    ) -> Tensor:
        """Return the pictures [len(wanted), 3, H, W] in [0, 1] of the local ones at the places `wanted`.

        local: of each local picture; flows: between neighbours, one less; references: [1, C, h, w] each.
        keys_only: references are looked at and never updated. The published network updates them too; all that can be
        left out there is their last update, which nobody reads.
        """
        feature = self._together(local)
        forward, backward = (torch.cat([pair[way] for pair in flows] or [_no_flow(feature)], 1) for way in (0, 1))
        ahead = forward.flip(1) if self.network.quirks.reversed_backward_flow else forward
        feature = self.network.propagation(feature, ChainedFlow(ahead, backward))
        others = torch.stack(list(references), 1) if references else feature[:, :0]
        if keys_only:
            features = self.network.transformer(feature, others, wanted=wanted)
        else:
            features = self.network.transformer(torch.cat((feature, others), 1), wanted=wanted)
        # One picture after another: the decoder's maps are the largest of all.
        return torch.cat([(torch.tanh(self.network.decoder(x)) + 1) / 2 for x in features.unbind(1)])

    def _together(self, local: Sequence[Tensor | LonePicture]) -> Tensor:
        """Return the features [1, L, C, h, w] of local pictures in one another's company."""
        features = [x for x in local if isinstance(x, Tensor)]
        if features:
            return torch.stack(features, 1)
        lone = [x for x in local if isinstance(x, LonePicture)]
        experts = self.network.experts
        if experts is None:
            raise ValueError("a generator without experts has no mixtures to bring together")
        height, width = lone[0].size
        return experts.together(_joined([x.mixture for x in lone]), len(lone))[None, ..., :height, :width]

    def _content(self, picture: PaddedPicture) -> Content:
        if picture.damaged:
            return self._new_content(picture)
        key = (*picture.whole.shape[-2:],)
        if key not in self._blank:
            self._blank = {key: self._new_content(picture)}
        return self._blank[key]

    def _new_content(self, picture: PaddedPicture) -> Content:
        network = self.network
        inside = picture.whole * picture.mask
        feature = embedding = None
        if network.completion is not None:
            feature = network.augmented(network.encoder(inside), picture.whole, picture.mask)
        if network.experts is not None:
            embedding = network.embedding(inside)
        return Content(feature, embedding)


def portions_of(network: RecoveryGenerator, dtype: torch.dtype) -> GeneratorPortions:
    """Return the portions of a network that is not trained any more, as they are computed soonest where it is.

    dtype: of the computation. In float32 on a CPU wide convolutions take fewer products (layers.winograd), of the weights
    that the network has now.
    """
    on_cpu = next(network.parameters()).device.type == "cpu"
    return GeneratorPortions(with_winograd(network) if on_cpu and dtype == torch.float32 else network)


def _joined(mixtures: Sequence[ExpertMixture]) -> ExpertMixture:
    """Return the mixture of several pictures as one."""
    skips = [x.skip for x in mixtures if x.skip is not None]
    rest = [torch.cat([getattr(x, name) for x in mixtures]) for name in ("mixed", "condition", "weights")]
    return ExpertMixture(torch.cat(skips) if skips else None, *rest)


def _no_flow(feature: Tensor) -> Tensor:
    return feature.new_zeros(1, 0, 2, *feature.shape[-2:])
