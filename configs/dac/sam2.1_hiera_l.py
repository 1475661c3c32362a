"""The full detector on SAM 2.1 Hiera-large (224 M parameters in SAM's parts)."""

_base_ = ["../_base_/dac_full.py"]

dac = dict(
    sam_weights="sam2.1_hiera_l",
    sam=dict(
        embed_dim=144,
        trunk_heads=2,
        stages=(2, 6, 36, 4),
        window_spec=(8, 4, 16, 8),
        global_att_blocks=(23, 33, 43),
        background_size=(7, 7),
    ),
)
train = dict(work_dir="work_dirs/dac_sam2.1_hiera_l", export="checkpoints/dac_sam2.1_hiera_l.safetensors")
checkpoint = "checkpoints/dac_sam2.1_hiera_l.safetensors"
