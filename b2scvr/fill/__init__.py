"""Classical guesses of a damaged picture: what motion, without learning, makes of its surroundings."""

from b2scvr.fill.surroundings import surroundings

__all__ = ["surroundings"]
