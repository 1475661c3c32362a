"""Prompts of the ablation: nothing of the bitstream."""

_base_ = ["../../_base_/dac_ablation.py"]

dac = dict(prompts="none")
train = dict(work_dir="work_dirs/dac_ablation/none", export="work_dirs/dac_ablation/none.safetensors")
checkpoint = "work_dirs/dac_ablation/none.safetensors"
