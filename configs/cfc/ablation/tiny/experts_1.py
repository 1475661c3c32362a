"""Ablation of the small recovery network: one expert, without a gate; the embedding scales its channels."""

_base_ = ["../../../_base_/cfc_ablation.py"]

cfc = dict(experts=dict(num_experts=1))
train = dict(work_dir="work_dirs/cfc_ablation/tiny/experts_1")
checkpoint = "work_dirs/cfc_ablation/tiny/experts_1/weights.safetensors"
