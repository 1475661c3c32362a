"""Ablation of the recovery network: without hierarchical augmentation; there is no image trunk."""

_base_ = ["../corrected.py"]

cfc = dict(parts=("completion", "experts"))
train = dict(work_dir="work_dirs/cfc_ablation/no_augmentation")
checkpoint = "work_dirs/cfc_ablation/no_augmentation/weights.safetensors"
