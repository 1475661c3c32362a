"""Ablation of the recovery network: the gate is a linear layer on the mean of the feature; there is no CLIP."""

_base_ = ["../corrected.py"]

cfc = dict(experts=dict(gate="linear"))
train = dict(work_dir="work_dirs/cfc_ablation/gate_linear")
checkpoint = "work_dirs/cfc_ablation/gate_linear/weights.safetensors"
