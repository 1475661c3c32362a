"""B2SCVR's recovery network without the quirks of the release, for training; its backbones keep their published weights."""

_base_ = ["../_base_/cfc_generator.py", "../_base_/cfc_stage2.py"]

pretrained = True  # trunk, CLIP and flow start from their published weights; False: from scratch
cfc = dict(preset="corrected", frozen=("trunk", "embedder"), recompute=True)
checkpoint = "checkpoints/cfc_corrected.safetensors"
