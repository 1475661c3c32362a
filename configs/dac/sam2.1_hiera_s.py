"""The full detector on SAM 2.1 Hiera-small (46 M parameters in SAM's parts)."""

_base_ = ["../_base_/dac_full.py"]

dac = dict(
    sam_weights="sam2.1_hiera_s",
    sam=dict(
        embed_dim=96,
        trunk_heads=1,
        stages=(1, 2, 11, 2),
        window_spec=(8, 4, 14, 7),
        global_att_blocks=(7, 10, 13),
        background_size=(7, 7),
    ),
)
train = dict(work_dir="work_dirs/dac_sam2.1_hiera_s", export="checkpoints/dac_sam2.1_hiera_s.safetensors")
checkpoint = "checkpoints/dac_sam2.1_hiera_s.safetensors"
