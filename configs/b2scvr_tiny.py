"""B2SCVR, small: the same parts as the full size, trained on two CPU cores. The default of test.py."""

_base_ = ["_base_/dac_tiny.py", "_base_/cfc_tiny.py", "_base_/schedule.py"]

checkpoint = "checkpoints/b2scvr_tiny.safetensors"
