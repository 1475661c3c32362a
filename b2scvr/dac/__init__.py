"""Detect any corruption (DAC): which macroblocks and pixels of a damaged picture are wrong."""
