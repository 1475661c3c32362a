"""3x3 convolutions by minimal filtering F(4x4, 3x3): 36 products for a tile of 16 results instead of 144.

Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016, equation 8: Y = A' [(G g G') * (B' d B)] A.
The products of all tiles and channels are matrix products, and so are the transforms, as Kronecker products. For inference:
worth it on a CPU with 64 channels and more.
Legend: B batch, C, K channels in and out, H, W.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

TAPS = 3
TILE = 4  # results a side of a tile
PATCH = TILE + TAPS - 1  # values a side that they are made of
# Where the polynomials are evaluated, infinity besides. With these float32 is as exact as in the direct convolution; the
# usual 0, +-1, +-2 lose half a digit more.
POINTS = (0.0, 2 / 3, -2 / 3, 3 / 2, -3 / 2)
STRIP_BYTES = 8 << 20  # of transformed values at a time: they stay in the processor's cache


def winograd_kernel(weight: Tensor) -> Tensor:
    """Return the transformed kernel [36, C, K] of weight [K, C, 3, 3]; ValueError for another size."""
    if weight.shape[2:] != (TAPS, TAPS):
        raise ValueError(f"the kernel must be {TAPS}x{TAPS}, got {list(weight.shape)}")
    _, of_kernel, _ = _transforms()
    transformed = of_kernel @ weight.double().cpu().flatten(2).permute(2, 1, 0).flatten(1)
    return transformed.to(weight).unflatten(1, (weight.shape[1], weight.shape[0]))


def winograd_conv2d(x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return the convolution [B, K, H, W] of x [B, C, H, W] with zeros around it, in the layout channels_last.

    kernel: of `winograd_kernel`; bias: [K] or None. ValueError when the channels differ.
    """
    batch, channels, height, width = x.shape
    _, wanted, results = kernel.shape
    if channels != wanted:
        raise ValueError(f"x has {channels} channels, the kernel is for {wanted}")
    rows, columns = -(-height // TILE), -(-width // TILE)
    padded = x.new_zeros(batch, rows * TILE + TAPS - 1, columns * TILE + TAPS - 1, channels)
    padded[:, 1 : height + 1, 1 : width + 1] = x.permute(0, 2, 3, 1)
    of_results, _, of_values = (matrix.to(x) for matrix in _transforms())
    out = x.new_empty(batch, rows, TILE, columns, TILE, results)
    step = max(STRIP_BYTES // (PATCH**2 * columns * max(channels, results) * x.element_size()), 1)
    for picture in range(batch):
        for top in range(0, rows, step):
            strip = out[picture, top : top + step]
            patches = _patches(padded[picture, top * TILE :], len(strip), columns)
            values = (of_values @ patches.flatten(1)).unflatten(1, (-1, channels))
            tiles = of_results @ torch.bmm(values, kernel).flatten(1)
            strip.copy_(tiles.view(TILE, TILE, len(strip), columns, results).permute(2, 0, 3, 1, 4))
    out = out.view(batch, rows * TILE, columns * TILE, results)[:, :height, :width].permute(0, 3, 1, 2)
    return out if bias is None else out.add_(bias[:, None, None])


def _patches(padded: Tensor, rows: int, columns: int) -> Tensor:
    """Return what each of the upper tiles is made of, [36, rows * columns, C]; padded: [H, W, C]."""
    y, x, channel = padded.stride()
    size = (PATCH, PATCH, rows, columns, padded.shape[2])
    return padded.as_strided(size, (y, x, TILE * y, TILE * x, channel)).reshape(PATCH**2, rows * columns, -1)


@cache
def _transforms() -> tuple[Tensor, Tensor, Tensor]:
    """Return what acts on products [16, 36], on a kernel [36, 9] and on a patch [36, 36], float64 (A', G and B' of the paper)."""

    def evaluation(terms: int) -> Tensor:
        """Return [points, terms]: a polynomial of so many coefficients at POINTS and, the highest one, at infinity."""
        powers = torch.tensor(POINTS, dtype=torch.float64)[:, None] ** torch.arange(terms)
        return torch.cat((powers, torch.eye(terms, dtype=torch.float64)[-1:]))

    of_results, of_kernel = evaluation(TILE).T, evaluation(TAPS)
    of_patch = torch.linalg.inv(evaluation(PATCH)).T
    # What one is multiplied by the other is divided by: values and kernel get one magnitude.
    balance = (of_patch.norm(dim=1, keepdim=True) / of_kernel.norm(dim=1, keepdim=True)).sqrt()
    twice = [torch.kron(x, x).contiguous() for x in (of_results, of_kernel * balance, of_patch / balance)]
    return twice[0], twice[1], twice[2]
