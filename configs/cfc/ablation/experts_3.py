"""Ablation of the recovery network: three residual experts instead of two."""

_base_ = ["../corrected.py"]

cfc = dict(experts=dict(num_experts=3))
train = dict(work_dir="work_dirs/cfc_ablation/experts_3")
checkpoint = "work_dirs/cfc_ablation/experts_3/weights.safetensors"
