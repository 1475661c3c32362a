"""How the small networks are trained: both stages in under an hour each on one CPU core."""

train = dict(
    data="cache/train",
    validation=None,
    work_dir="work_dirs/b2scvr_tiny",
    seed=0,
    precision="fp32",
    workers=1,
    log_every=20,
    save_every=250,
    validate_every=500,
    validate_samples=32,
    keep=2,
    max_minutes=None,
    export="checkpoints/b2scvr_tiny.safetensors",
)
stages = dict(
    # The change point belongs to whole pictures: no crops, no mirror images.
    detect=dict(steps=2200, batch=2, lr=4e-4, warmup=100, ema=0.998, recolour=True, broken_only=False),
    # Crops come with the stack of their whole picture, at which the network starts: fast learning throws it off.
    recover=dict(
        steps=4400,
        batch=4,
        lr=6e-4,
        warmup=100,
        ema=0.998,
        crop=(192, 192),
        mirror=True,
        jitter=True,
        broken_only=True,
        stacked=True,
        # Absolute errors and edges, beside it, kept the network at its start: checkpoints/README.md.
        loss=dict(psnr_weight=1.0, hole_weight=0.0, valid_weight=0.05, gradient_weight=0.0),
    ),
)
