"""B2SCVR, small: the same parts as the full size, trained on two CPU cores. The default of test.py."""

_base_ = ["_base_/dac_tiny.py", "_base_/cfc_tiny.py", "_base_/schedule.py"]

# Where motion is ordinary the stack alone is as good, elsewhere the network is better: checkpoints/README.md.
cfc = dict(trust=0.5)

checkpoint = "checkpoints/b2scvr_tiny.safetensors"

# What is restored is smoother than what was lost, so it differs less from the damage than the truth (15 levels) does.
difference_levels = 14

# Broken pictures are moved towards what the next right picture says of them.
hindsight = True
