"""The small recovery network: the published parts at sizes that two CPU cores train."""

cfc = dict(
    type="RecoveryNetwork",
    num_candidates=6,  # types.CANDIDATES
    encoder=dict(stem=(16, 16, 32, 32), tail=((32, 1), (32, 2), (32, 1))),
    trunk_channels=(16, 32, 48),
    augmentation=dict(dims=(32, 64, 128), reductions=(8, 4, 2), heads=4),
    completion=dict(depths=(2,), heads=4, window=8, mlp_ratio=2.0),
    embedding_dim=64,
    embedding_size=112,
    experts=dict(num_experts=2, gate="embedding", blocks=1, depth=2, num_tokens=32),
    propagation=dict(kernel_size=1, groups=8, depth=2, reach=1),
    transformer=dict(
        dim=128,
        depth=2,
        heads=4,
        window=(4, 8),
        expand=(2, 4),
        focal_window=(3, 3),
        ffn_channels=8,
        time_embedding=True,
    ),
    skip_channels=24,
    fill_weight=0.95,
    stack=True,
    trust=0.5,  # errors of the stack and of the network differ: half of each is better than either
)
