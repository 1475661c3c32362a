"""Ablation of the small recovery network: without hierarchical augmentation; there is no image trunk."""

_base_ = ["../../../_base_/cfc_ablation.py"]

cfc = dict(augment=False)
train = dict(work_dir="work_dirs/cfc_ablation/tiny/no_augmentation")
checkpoint = "work_dirs/cfc_ablation/tiny/no_augmentation/weights.safetensors"
