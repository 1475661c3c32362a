"""Ablation of the recovery network: SPyNet refines what the bitstream's vectors say."""

_base_ = ["../corrected.py"]

cfc = dict(flow=dict(source="codec_start"))
train = dict(work_dir="work_dirs/cfc_ablation/flow_codec_start")
checkpoint = "work_dirs/cfc_ablation/flow_codec_start/weights.safetensors"
