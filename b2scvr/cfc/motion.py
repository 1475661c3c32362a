"""Flow between the local pictures of a window: from the pictures, from the bitstream's vectors, or from both.

Legend: B batch, L local pictures; h, w the feature grid, cells of 4 pixels; r, c the grid of vectors, cells of 8 pixels.
Vectors of a window: [B, 2, L - 1, 3, r, c]. Direction 0 is picture n -> n + 1, 1 is n + 1 -> n, each on the grid of the
picture that it starts from; channels x and y in pixels, and 1 where a vector is known, else 0.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from b2scvr.ops.warp import AnchoredMotion
from b2scvr.types import MV_BLOCK

STRIDE = 4  # pixels a cell of the feature grid
SOURCES = ("spynet", "codec", "codec_start")
HOLES = ("spynet", "neighbours")
OPPOSITE_WEIGHT, NEXT_WEIGHT = 1.0, 0.5  # of the vectors that fill a hole: same pictures, neighbouring pair of pictures


class WindowFlow:
    """What the flow of a window is made of; the network that estimates it, SPyNet, is handed in.

    source: "spynet", from the pictures alone (published); "codec", the vectors, and in their holes what `holes` says:
    the estimate of "spynet", or what is told by "neighbours" in time and space (then there is no SPyNet at all);
    "codec_start": SPyNet refines the vectors, and finds out by itself what their holes hold.
    """

    def __init__(self, source: str = "spynet", holes: str = "spynet") -> None:
        if source not in SOURCES:
            raise ValueError(f"flow.source must be one of {', '.join(SOURCES)}, got {source!r}")
        if holes not in HOLES:
            raise ValueError(f"flow.holes must be one of {', '.join(HOLES)}, got {holes!r}")
        if holes == "neighbours" and source != "codec":
            raise ValueError(f"flow.holes {holes!r} is of the source 'codec', got source {source!r}")
        self.source, self.holes = source, holes
        self.needs_vectors = source != "spynet"
        self.needs_network = holes == "spynet"

    def __call__(self, network: nn.Module | None, pictures: Tensor, vectors: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the flow between neighbours, forward and backward, each [B, L - 1, 2, h, w] (x, y) cells.

        pictures: [B, L, 3, H, W] in [-1, 1], H and W multiples of 4; vectors: see the module's legend, may end before the
        pictures do. ValueError when vectors are needed and there are none.
        """
        batch, count, _, height, width = pictures.shape
        size = (height // STRIDE, width // STRIDE)
        if count == 1:
            nothing = pictures.new_zeros(batch, 0, 2, *size)
            return nothing, nothing
        if not self.needs_vectors:
            return self._estimated(network, pictures, size)
        if vectors is None:
            raise ValueError(
                f"flow.source is {self.source!r}, which needs the vectors of the bitstream, and there are none: "
                "give `vectors`, or take flow.source='spynet'"
            )
        if self.holes == "neighbours":
            known, _ = on_feature_grid(filled_from_neighbours(vectors), size)
            return known[:, 0], known[:, 1]
        known, valid = on_feature_grid(vectors, size)
        if self.source == "codec_start":
            return self._estimated(network, pictures, size, known, valid)
        flows = self._estimated(network, pictures, size)
        return tuple(torch.where(valid[:, i] > 0.5, known[:, i], flow) for i, flow in enumerate(flows))  # type: ignore[return-value]

    @staticmethod
    def _estimated(
        network: nn.Module | None,
        pictures: Tensor,
        size: tuple[int, int],
        known: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return SPyNet's flow of pictures made as small as the features; known, valid: [B, 2, L - 1, 2 or 1, h, w]."""
        if network is None:
            raise ValueError("there is no network that estimates the flow")
        batch, count = pictures.shape[:2]
        small = F.interpolate((pictures.flatten(0, 1) + 1) / 2, size, mode="bilinear", align_corners=True)
        small = small.unflatten(0, (batch, count))
        earlier, later = small[:, :-1].flatten(0, 1), small[:, 1:].flatten(0, 1)
        flows = []
        for direction, pair in enumerate(((earlier, later), (later, earlier))):
            start = [None if x is None else x[:, direction].flatten(0, 1) for x in (known, valid)]
            flows.append(network(*pair, *start).unflatten(0, (batch, -1)))
        return flows[0], flows[1]


def on_feature_grid(vectors: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return vectors [..., 3, r, c] on the feature grid (h, w) = size: flow [..., 2, h, w] in cells, validity [..., 1, h, w].

    What lies beyond the vectors' grid is not valid, and zero.
    """
    factor = MV_BLOCK // STRIDE
    fine = vectors.repeat_interleave(factor, -2).repeat_interleave(factor, -1)[..., : size[0], : size[1]]
    fine = F.pad(fine, (0, size[1] - fine.shape[-1], 0, size[0] - fine.shape[-2]))
    valid = fine[..., 2:, :, :]
    return fine[..., :2, :, :] / STRIDE * valid, valid


def filled_from_neighbours(vectors: Tensor) -> Tensor:
    """Return vectors without holes.

    A cell without a vector takes the mean of what is told at its place by the opposite direction (negated) and by the
    pairs of pictures before and after (steady motion); what is left, the mean of the vectors around it; zero where there
    is none at all.
    """
    motion, valid = vectors[..., :2, :, :], vectors[..., 2:, :, :]
    weighted = motion * valid
    near, weight = -OPPOSITE_WEIGHT * weighted.flip(1), OPPOSITE_WEIGHT * valid.flip(1)
    for shift in (1, -1):
        near = near + NEXT_WEIGHT * _shifted(weighted, shift)
        weight = weight + NEXT_WEIGHT * _shifted(valid, shift)
    told = torch.where(valid > 0, motion, near / weight.clamp(min=1e-6))
    known = ((valid > 0) | (weight > 0)).to(motion.dtype)
    filled = _push_pull((told * known).flatten(0, 2), known.flatten(0, 2)).unflatten(0, vectors.shape[:3])
    return torch.cat((filled, torch.ones_like(valid)), -3)


def vectors_of_motion(motion: Tensor, current: int) -> Tensor:
    """Return the vectors of a window [B, 2, N - 1, 3, r, c] whose motion is known from one of its pictures.

    motion: [B, N, 2, H, W] (x, y) pixels, picture `current` -> picture n; it is known everywhere, so are the vectors.
    """
    batch, count = motion.shape[:2]
    cells = F.avg_pool2d(motion.flatten(0, 1), MV_BLOCK, ceil_mode=True) / MV_BLOCK
    flow = AnchoredMotion(cells.unflatten(0, (batch, count)), current)
    forward = [flow(n, n + 1) for n in range(count - 1)]
    backward = [flow(n + 1, n) for n in range(count - 1)]
    if not forward:
        return motion.new_zeros(batch, 2, 0, 3, *cells.shape[-2:])
    both = torch.stack((torch.stack(forward, 1), torch.stack(backward, 1)), 1) * MV_BLOCK
    return torch.cat((both, torch.ones_like(both[..., :1, :, :])), -3)


def _shifted(x: Tensor, by: int) -> Tensor:
    """Return `x` [B, 2, L - 1, ...] with the values of the pair of pictures `by` away; zero beyond the window."""
    nothing = torch.zeros_like(x[:, :, :1])
    return torch.cat((nothing, x[:, :, :-1]) if by > 0 else (x[:, :, 1:], nothing), 2)


def _push_pull(values: Tensor, known: Tensor) -> Tensor:
    """Return `values` [B, 2, r, c], holes filled from coarser grids (push-pull; Gortler et al., The Lumigraph, 1996).

    known: [B, 1, r, c] in {0, 1}; values are zero elsewhere.
    """
    rows, columns = values.shape[-2:]
    if rows == columns == 1:
        return values
    share = F.avg_pool2d(known, 2, ceil_mode=True)
    mean = F.avg_pool2d(values, 2, ceil_mode=True) / share.clamp(min=1e-6)
    coarse = _push_pull(mean * (share > 0), (share > 0).to(values.dtype))
    fine = coarse.repeat_interleave(2, -2).repeat_interleave(2, -1)[..., :rows, :columns]
    return torch.where(known > 0, values, fine)
