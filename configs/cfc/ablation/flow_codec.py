"""Ablation of the recovery network: the flow is what the bitstream's vectors say, SPyNet fills their holes."""

_base_ = ["../corrected.py"]

cfc = dict(flow=dict(source="codec"))
train = dict(work_dir="work_dirs/cfc_ablation/flow_codec")
checkpoint = "work_dirs/cfc_ablation/flow_codec/weights.safetensors"
