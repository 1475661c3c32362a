"""The registry of models: a config names a class, the registry builds it (MMEngine)."""

from __future__ import annotations

from mmengine.registry import Registry

MODELS = Registry("models", locations=["b2scvr.dac", "b2scvr.cfc", "b2scvr.baselines"])
