"""A damaged stream in, a repaired one out."""

from b2scvr.pipeline.pipeline import Pipeline
from b2scvr.pipeline.recoverer import ROOT, Recoverer

__all__ = ["ROOT", "Pipeline", "Recoverer"]
