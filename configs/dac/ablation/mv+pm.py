"""Prompts of the ablation: motion vectors and the picture's letter, as in the paper."""

_base_ = ["../../_base_/dac_ablation.py"]

dac = dict(prompts="mv+pm")
train = dict(work_dir="work_dirs/dac_ablation/mv+pm", export="work_dirs/dac_ablation/mv+pm.safetensors")
checkpoint = "work_dirs/dac_ablation/mv+pm.safetensors"
