"""E2FGVI-HQ (Li et al., CVPR 2022), for its own weights: what is under the masks is not looked at.

Its file becomes the one below by tools/convert_checkpoint.py.
"""

_base_ = ["../_base_/cfc_generator.py"]

cfc = dict(preset="official", parts=(), frozen=(), quirks=dict(first_mask_instead_of_none=False))
checkpoint = "checkpoints/published_e2fgvi-hq.safetensors"
