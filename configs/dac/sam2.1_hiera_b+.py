"""The full detector on SAM 2.1 Hiera-base+ (81 M parameters in SAM's parts)."""

_base_ = ["../_base_/dac_full.py"]

dac = dict(
    sam_weights="sam2.1_hiera_b+",
    sam=dict(
        embed_dim=112,
        trunk_heads=2,
        stages=(2, 3, 16, 3),
        window_spec=(8, 4, 14, 7),
        global_att_blocks=(12, 16, 20),
        background_size=(14, 14),
    ),
)
train = dict(work_dir="work_dirs/dac_sam2.1_hiera_b+", export="checkpoints/dac_sam2.1_hiera_b+.safetensors")
checkpoint = "checkpoints/dac_sam2.1_hiera_b+.safetensors"
