"""Methods without learning, behind the same two calls as the networks."""

from b2scvr.baselines.vector_fill import ConcealedMacroblocks, VectorFill

__all__ = ["ConcealedMacroblocks", "VectorFill"]
