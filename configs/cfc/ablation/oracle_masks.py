"""Ablation of the recovery network: trained with true masks; tools/evaluate.py --protocol bscv-native judges with them."""

_base_ = ["../corrected.py"]

train = dict(work_dir="work_dirs/cfc_ablation/oracle_masks")
stages = dict(recover=dict(oracle_masks=True, jitter=False))
checkpoint = "work_dirs/cfc_ablation/oracle_masks/weights.safetensors"
