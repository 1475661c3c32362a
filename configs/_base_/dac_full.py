"""The detector at full size: SAM 2.1 and DINOv2 as published, all evidence. The file that builds on it names the trunk."""

pretrained = True  # SAM 2.1 and DINOv2 start from their published weights; False: from scratch
dac = dict(
    type="Detector",
    prompts="all",
    use_fill=True,
    sam=dict(image_size=1024, num_memories=3),
    tokens=dict(
        num_degradation=64,
        mode_grid=(4, 7),
        positions=True,
        embedder=dict(type="dinov2", variant="vits14", grid=(8, 14)),
    ),
    neck=dict(blocks=2, depth=3, window=8, category_size=128),
    comparison_width=32,
    quarter_dim=64,
    macroblock_dim=128,
    dense_dim=64,
    dilations=(1, 2, 4, 8),
    temperature=24.0,
)
cfc = dict(type="VectorFill")  # restores without weights until a recovery network is named
train = dict(
    data="cache/train",
    seed=0,
    precision="bf16",
    workers=4,
    save_every=1000,
    validate_every=2000,
)
stages = dict(
    # The published schedule's rates (AdamW, cosine to a tenth); the trunk moves more slowly than what is new.
    detect=dict(
        steps=40000,
        batch=8,
        lr=5e-5,
        final_lr=0.1,
        weight_decay=0.1,
        warmup=1000,
        clip_norm=0.1,
        ema=0.999,
        recolour=True,
        broken_only=False,
        lr_scale={"sam.image_encoder.*": 0.6},
    ),
)
