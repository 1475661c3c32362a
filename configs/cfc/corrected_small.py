"""The corrected recovery network with all of its parts at very small widths: to try stage 2 on a CPU, not to be used."""

_base_ = ["corrected.py"]

pretrained = False
cfc = dict(
    encoder=dict(stem=(8, 8, 16, 16), tail=((16, 1), (16, 2))),
    trunk=dict(
        embed_dim=8, stages=(1, 1, 1, 1), window_spec=(4, 2, 2, 2), global_att_blocks=(), background_size=(2, 2)
    ),
    augmentation=dict(dims=(8, 8, 16, 16), heads=2),
    completion=dict(depths=(2,), heads=2, mlp_ratio=2.0),
    embedder=dict(image_size=32, patch_size=8, width=16, layers=1, heads=2, dim=16),
    experts=dict(blocks=1, depth=2, num_tokens=8),
    flow=dict(widths=(8,), levels=3),
    propagation=dict(groups=4, depth=1),
    transformer=dict(dim=16, depth=1, heads=2, window=(2, 3), expand=(1, 1), focal_window=(3, 3), ffn_channels=4),
    decoder=dict(width=8),
)
checkpoint = "work_dirs/cfc_corrected_small/weights.safetensors"
train = dict(work_dir="work_dirs/cfc_corrected_small", precision="fp32", workers=0, save_every=50, validate_every=100)
stages = dict(
    recover=dict(
        steps=200,
        batch=2,
        milestones=(150,),
        crop=(48, 64),
        local=3,
        references=1,
        discriminator=dict(widths=(4, 8, 8)),
    )
)
