"""The full detector on SAM 2.1 Hiera-tiny (39 M parameters in SAM's parts)."""

_base_ = ["../_base_/dac_full.py"]

dac = dict(
    sam_weights="sam2.1_hiera_t",
    sam=dict(
        embed_dim=96,
        trunk_heads=1,
        stages=(1, 2, 7, 2),
        window_spec=(8, 4, 14, 7),
        global_att_blocks=(5, 7, 9),
        background_size=(7, 7),
    ),
)
train = dict(work_dir="work_dirs/dac_sam2.1_hiera_t", export="checkpoints/dac_sam2.1_hiera_t.safetensors")
checkpoint = "checkpoints/dac_sam2.1_hiera_t.safetensors"
