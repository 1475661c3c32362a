"""The small recovery network: the published parts at sizes that two CPU cores train."""

cfc = dict(
    type="RecoveryNetwork",
    num_candidates=6,  # types.CANDIDATES
    encoder=dict(stem=(8, 16, 24, 24), tail=((24, 2), (24, 1))),
    trunk_channels=(8, 16, 32),
    augmentation=dict(dims=(16, 32, 64), reductions=(8, 4, 2), heads=4),
    completion=dict(depths=(2,), heads=4, window=8, mlp_ratio=2.0),
    embedding_dim=64,
    embedding_size=112,
    experts=dict(num_experts=2, gate="embedding", blocks=1, depth=2, num_tokens=16),
    propagation=dict(kernel_size=1, groups=8, depth=1, reach=1),
    transformer=dict(
        dim=96,
        depth=2,
        heads=4,
        window=(4, 8),
        expand=(2, 4),
        focal_window=(3, 3),
        ffn_channels=8,
        time_embedding=True,
    ),
    downscale=2,  # 2.6 times as fast as at full size; what that costs is in checkpoints/README.md
    skip_channels=16,
    fill_weight=0.95,
    stack=True,
)
