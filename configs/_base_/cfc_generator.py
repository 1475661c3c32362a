"""The published recovery generator at its published size; damage is where the decoder concealed, or as --masks say."""

dac = dict(type="ConcealedMacroblocks")
frames = dict(schedule="exact")  # of frames mode: "published", "exact" (the same pictures, sooner) or "fast"
cfc = dict(
    type="RecoveryGenerator",
    parts=("augmentation", "completion", "experts"),
    encoder=dict(stem=(64, 64, 128, 256), tail=((384, 1), (512, 2), (384, 4), (256, 8), (128, 1))),
    trunk=dict(  # Hiera-tiny of SAM 2.1
        embed_dim=96,
        stages=(1, 2, 7, 2),
        window_spec=(8, 4, 14, 7),
        global_att_blocks=(5, 7, 9),
        background_size=(7, 7),
    ),
    augmentation=dict(dims=(96, 192, 384, 768), reductions=(2, 4, 8, 8), heads=4),
    completion=dict(depths=(3,), heads=4, window=5, mlp_ratio=4.0, drop_path=0.1),
    embedder=dict(image_size=224, patch_size=32, width=768, layers=12, heads=12, dim=512),  # CLIP's ViT-B-32
    experts=dict(num_experts=2, gate="embedding", blocks=2, depth=3, num_tokens=64, reduced_dim=4, mlp_ratio=2.0),
    flow=dict(widths=(32, 64, 32, 16), levels=6),
    propagation=dict(kernel_size=3, groups=16, depth=3),
    transformer=dict(
        dim=512, depth=8, heads=4, window=(5, 9), expand=(2, 4), focal_window=(5, 9), ffn_channels=40, wrap=True
    ),
    decoder=dict(width=64),
)
