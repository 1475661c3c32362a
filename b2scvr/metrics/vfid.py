"""Frechet distance of features of videos (Wang et al., Video-to-Video Synthesis, NeurIPS 2018, section 4: VFID).

A measure of two sets of videos, not of a pair: with few videos it says little, and its value hangs on their number.
"""

from __future__ import annotations

import numpy as np

FEWEST_VIDEOS = 2  # a covariance needs


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return the squared Frechet distance of the normal distributions fitted to two sets of vectors [N, D] and [M, D].

    |mean difference|^2 + trace(A + B - 2 (A B)^(1/2)) with the unbiased covariances A and B (Dowson and Landau, 1982). The
    trace of the root is the sum of the singular values of X_a X_b^T, X the centred vectors divided by sqrt(N - 1): no
    D x D matrix is needed, and no root of one. Raises ValueError for fewer than FEWEST_VIDEOS vectors.
    """
    if min(len(a), len(b)) < FEWEST_VIDEOS or a.shape[1] != b.shape[1]:
        raise ValueError(
            f"Frechet distance: needs {FEWEST_VIDEOS} vectors of one length each, got {a.shape} and {b.shape}"
        )
    spread_a, spread_b = ((x - x.mean(axis=0)) / np.sqrt(len(x) - 1) for x in (a, b))
    shift = np.square(a.mean(axis=0) - b.mean(axis=0)).sum()
    common = np.linalg.svd(spread_a @ spread_b.T, compute_uv=False).sum()
    return max(0.0, float(shift + np.square(spread_a).sum() + np.square(spread_b).sum() - 2 * common))
