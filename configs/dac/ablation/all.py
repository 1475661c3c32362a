"""Prompts of the ablation: all evidence, and with what was concealed the raster prior."""

_base_ = ["../../_base_/dac_ablation.py"]

dac = dict(prompts="all")
train = dict(work_dir="work_dirs/dac_ablation/all", export="work_dirs/dac_ablation/all.safetensors")
checkpoint = "work_dirs/dac_ablation/all.safetensors"
