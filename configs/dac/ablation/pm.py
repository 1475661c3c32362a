"""Prompts of the ablation: the letter of the picture, I, P or B."""

_base_ = ["../../_base_/dac_ablation.py"]

dac = dict(prompts="pm")
train = dict(work_dir="work_dirs/dac_ablation/pm", export="work_dirs/dac_ablation/pm.safetensors")
checkpoint = "work_dirs/dac_ablation/pm.safetensors"
