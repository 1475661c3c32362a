"""Ablation of the small recovery network: two experts that count alike."""

_base_ = ["../../../_base_/cfc_ablation.py"]

cfc = dict(experts=dict(gate="none"))
train = dict(work_dir="work_dirs/cfc_ablation/tiny/gate_none")
checkpoint = "work_dirs/cfc_ablation/tiny/gate_none/weights.safetensors"
