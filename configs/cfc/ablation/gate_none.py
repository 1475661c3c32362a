"""Ablation of the recovery network: no gate: the experts count alike; there is no CLIP."""

_base_ = ["../corrected.py"]

cfc = dict(experts=dict(gate="none"))
train = dict(work_dir="work_dirs/cfc_ablation/gate_none")
checkpoint = "work_dirs/cfc_ablation/gate_none/weights.safetensors"
