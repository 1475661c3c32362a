"""BSCVR-P (Liu et al., NeurIPS 2023), for its own weights: no augmentation, no experts.

Its generator's file becomes the one below by tools/convert_checkpoint.py.
"""

_base_ = ["../_base_/cfc_generator.py"]

cfc = dict(preset="official", parts=("completion",), frozen=("flow",))
checkpoint = "checkpoints/published_bscvr-p.safetensors"
