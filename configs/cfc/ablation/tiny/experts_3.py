"""Ablation of the small recovery network: three experts and the gate on the embedding."""

_base_ = ["../../../_base_/cfc_ablation.py"]

cfc = dict(experts=dict(num_experts=3))
train = dict(work_dir="work_dirs/cfc_ablation/tiny/experts_3")
checkpoint = "work_dirs/cfc_ablation/tiny/experts_3/weights.safetensors"
