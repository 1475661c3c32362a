"""Ablation of the small recovery network: two experts, the gate reads a learned embedding of the damaged content (no CLIP)."""

_base_ = ["../../../_base_/cfc_ablation.py"]

train = dict(work_dir="work_dirs/cfc_ablation/tiny/gate_embedding")
checkpoint = "work_dirs/cfc_ablation/tiny/gate_embedding/weights.safetensors"
