"""Prompts of the ablation: motion vectors."""

_base_ = ["../../_base_/dac_ablation.py"]

dac = dict(prompts="mv")
train = dict(work_dir="work_dirs/dac_ablation/mv", export="work_dirs/dac_ablation/mv.safetensors")
checkpoint = "work_dirs/dac_ablation/mv.safetensors"
