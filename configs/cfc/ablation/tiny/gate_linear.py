"""Ablation of the small recovery network: two experts, the gate is a linear layer on the mean of the feature."""

_base_ = ["../../../_base_/cfc_ablation.py"]

cfc = dict(experts=dict(gate="linear"))
train = dict(work_dir="work_dirs/cfc_ablation/tiny/gate_linear")
checkpoint = "work_dirs/cfc_ablation/tiny/gate_linear/weights.safetensors"
