"""Ablation of the recovery network: the flow is what the bitstream's vectors say, holes filled by their neighbours."""

_base_ = ["../corrected.py"]

cfc = dict(flow=dict(source="codec", holes="neighbours"))
train = dict(work_dir="work_dirs/cfc_ablation/flow_codec_alone")
stages = dict(recover=dict(loss=dict(flow_weight=0.0)))  # there is no SPyNet to train
checkpoint = "work_dirs/cfc_ablation/flow_codec_alone/weights.safetensors"
