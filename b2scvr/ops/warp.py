"""Backward warping along optical flow. Flow [B, 2, H, W] is (x, y) in pixels of its own grid."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from b2scvr.ops.scaling import shrink


def warp(x: Tensor, flow: Tensor, padding_mode: str = "zeros") -> Tensor:
    """Return `x` sampled where `flow` points: out(p) = x(p + flow(p)), bilinear.

    x: [B, C, H, W]; flow: [B, 2, H, W], from the grid of the result into `x`; padding_mode: what lies outside `x`,
    "zeros" or "border". Zero flow is the identity. Raises ValueError when the sizes differ.
    """
    if x.shape[-2:] != flow.shape[-2:] or flow.shape[1] != 2:
        raise ValueError(f"warp: x {list(x.shape)} and flow {list(flow.shape)} do not belong together")
    rows, columns = flow.shape[-2:]
    ys = torch.arange(rows, device=flow.device, dtype=flow.dtype).view(rows, 1)
    xs = torch.arange(columns, device=flow.device, dtype=flow.dtype)
    return sample(x, xs + flow[:, 0], ys + flow[:, 1], padding_mode)


def sample(x: Tensor, xs: Tensor, ys: Tensor, padding_mode: str = "zeros") -> Tensor:
    """Return `x` [B, C, H, W] at the pixel positions xs, ys [B, h, w] as [B, C, h, w], bilinear."""
    height, width = x.shape[-2:]
    scale_x, scale_y = 2 / max(width - 1, 1), 2 / max(height - 1, 1)
    grid = torch.stack((xs * scale_x - 1, ys * scale_y - 1), dim=-1)
    # Half precision cannot hold positions: sampling is done in the precision of the positions.
    return F.grid_sample(x.to(grid.dtype), grid, "bilinear", padding_mode, align_corners=True).to(x.dtype)


def downscale_flow(flow: Tensor, factor: int) -> Tensor:
    """Return `flow` [B, 2, H, W] on a grid `factor` times coarser, in pixels of that grid.

    H and W must be multiples of `factor`. Averages each cell, and divides the values because the pixels grow.
    """
    return shrink(flow, factor) / factor


class ChainedFlow:
    """Flow between pictures of a clip that are one or two apart, from the flow between neighbours.

    forward: [B, N - 1, 2, H, W], picture n -> n + 1; backward: the same, n + 1 -> n; pixels of their own grid. Two
    steps are chained: flow(i, i + 2) = f + warp(g, f), with f from i and g from i + 1 (BasicVSR++, 2022).
    """

    def __init__(self, forward: Tensor, backward: Tensor) -> None:
        self.forward = forward
        self.backward = backward

    def __call__(self, source: int, target: int) -> Tensor:
        """Return the flow [B, 2, H, W] from picture `source` to picture `target`; ValueError for more than two steps."""
        step = 1 if target > source else -1
        if not 1 <= abs(target - source) <= 2:
            raise ValueError(f"flow from picture {source} to {target} is not one or two steps")
        flow = self._to_neighbour(source, step)
        return flow if source + step == target else flow + warp(self._to_neighbour(source + step, step), flow)

    def _to_neighbour(self, source: int, step: int) -> Tensor:
        return self.forward[:, source] if step > 0 else self.backward[:, source - 1]


class AnchoredMotion:
    """Flow between any two pictures of a window, from the motion of one of them into all.

    motion: [B, N, 2, H, W], picture `current` -> picture n, pixels of its own grid. From `current` the flow is exact.
    Between two others i -> j the flow is motion_j - motion_i carried to the grid of i: at q = p + motion_i(p) it is
    (motion_j - motion_i)(p), and p is taken as q - motion_i(q), which is exact where motion_i is locally constant.
    """

    def __init__(self, motion: Tensor, current: int) -> None:
        self.motion = motion
        self.current = current

    def __call__(self, source: int, target: int) -> Tensor:
        """Return the flow [B, 2, H, W] from picture `source` to picture `target`."""
        if source == self.current:
            return self.motion[:, target]
        to_source = self.motion[:, source]
        return warp(self.motion[:, target] - to_source, -to_source, "border")
