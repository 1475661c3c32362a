"""B2SCVR's recovery network for its own weights, which depend on each of its quirks (cfc/quirks.py).

Its `B2SCVR.pth` becomes the file below by tools/convert_checkpoint.py.
"""

_base_ = ["../_base_/cfc_generator.py"]

cfc = dict(
    preset="official",
    # The published training moves augmentation, completion and experts only.
    frozen=("encoder", "trunk", "embedder", "flow", "propagation", "transformer", "decoder"),
)
checkpoint = "checkpoints/published_b2scvr.safetensors"
