"""Features carried along the motion through a window, in both directions of time (BasicVSR++ 2022; E2FGVI 2022)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from b2scvr.layers.deform_align import SecondOrderDeformableAlignment, conv_pair
from b2scvr.ops.warp import warp

Flow = Callable[[int, int], Tensor]  # (source, target) -> flow [B, 2, h, w] (x, y) cells from source into target


class BidirectionalPropagation(nn.Module):
    """Backward sweep, then forward sweep (which sees the backward features), then fusion, plus the input.

        after  -> ... -> picture : aligned = align(n-1, n-2 along the flow);  f = aligned + mix(current, aligned)
        before -> ... -> picture : the same, mix(current, backward f, aligned)
        out = input + fuse(backward f, forward f)

    Where one picture only is wanted (`target`), both sweeps stop at it: pictures after it come to it in the backward
    sweep, those before it in the forward one.

    reach: how many pictures of a sweep, counted back from its end, are recomputed; those before lend their features as
    they came. None: all (the published way). 1 with a target: only the target aligns its neighbours.
    """

    def __init__(
        self,
        channels: int = 128,
        kernel_size: int = 3,
        groups: int = 16,
        hidden: int | None = None,
        depth: int = 3,
        reach: int | None = None,
    ) -> None:
        super().__init__()
        if reach is not None and reach < 1:
            raise ValueError(f"reach must be at least 1 or None, got {reach}")
        self.reach = reach
        names = ("backward_", "forward_")  # a module cannot hold an attribute `forward`
        self.align = nn.ModuleDict(
            {n: SecondOrderDeformableAlignment(channels, kernel_size, groups, hidden, depth) for n in names}
        )
        self.mix = nn.ModuleDict({n: conv_pair((2 + i) * channels, channels) for i, n in enumerate(names)})
        self.fusion = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, features: Tensor, flow: Flow, target: int | None = None) -> Tensor:
        """features: [B, N, C, h, w] in display order. Returns the same, or [B, C, h, w] when `target` is given."""
        pictures = list(features.unbind(1))
        last = len(pictures) - 1
        wanted = range(len(pictures)) if target is None else (target,)
        backward = self._sweep("backward_", pictures, range(last, (target or 0) - 1, -1), flow, None)
        forward = self._sweep("forward_", pictures, range((last if target is None else target) + 1), flow, backward)
        out = [pictures[i] + self.fusion(torch.cat((backward[i], forward[i]), 1)) for i in wanted]
        return out[0] if target is not None else torch.stack(out, 1)

    def _sweep(
        self, name: str, pictures: list[Tensor], order: Sequence[int], flow: Flow, other: list[Tensor] | None
    ) -> list[Tensor]:
        """Return one feature a picture: recomputed for the last `reach` of `order`, as it came for all others."""
        out = list(pictures)
        first = 0 if self.reach is None else max(len(order) - self.reach, 0)
        for step in range(first, len(order)):
            current = order[step]
            aligned = self._aligned(name, pictures[current], out, order[max(step - 2, 0) : step][::-1], current, flow)
            known = [pictures[current], aligned] if other is None else [pictures[current], other[current], aligned]
            out[current] = aligned + self.mix[name](torch.cat(known, 1))
        return out

    def _aligned(
        self, name: str, feature: Tensor, known: list[Tensor], sources: Sequence[int], current: int, flow: Flow
    ) -> Tensor:
        """Return the features of `sources` (nearest first, two at most) aligned to picture `current`."""
        if not sources:
            return torch.zeros_like(feature)
        nothing = torch.zeros_like(feature)
        no_flow = torch.zeros_like(feature[:, :2])
        flows = [flow(current, i) for i in sources] + [no_flow] * (2 - len(sources))
        given = [known[i] for i in sources] + [nothing] * (2 - len(sources))
        warped = [warp(known[i], f) for i, f in zip(sources, flows, strict=False)] + [nothing] * (2 - len(sources))
        condition = torch.cat((warped[0], feature, warped[1]), 1)
        return self.align[name](*given, condition, *flows)
