"""Ablation of the recovery network: one residual expert, without a gate, instead of two."""

_base_ = ["../corrected.py"]

cfc = dict(experts=dict(num_experts=1))
train = dict(work_dir="work_dirs/cfc_ablation/experts_1")
checkpoint = "work_dirs/cfc_ablation/experts_1/weights.safetensors"
