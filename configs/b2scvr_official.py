"""The published detector and the published recovery network together: B2SCVR as it was released, for its own weights.

Both files go into the one below: tools/convert_checkpoint.py B2SCVR.pth --output checkpoints/published.safetensors, and
the same with the detector's checkpoint.pt.
"""

_base_ = ["cfc/official.py"]

dac = dict(_delete_=True, type="PublishedDetector")
checkpoint = "checkpoints/published.safetensors"
track = dict(both_directions=False)
