"""How the small networks are trained: both stages on two CPU cores, or in minutes on a GPU."""

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
    detect=dict(steps=6000, batch=2, lr=3e-4, warmup=200, recolour=True, broken_only=False),
    recover=dict(
        steps=12000,
        batch=4,
        lr=3e-4,
        warmup=300,
        crop=(192, 192),
        mirror=True,
        recolour=True,
        jitter=True,
        broken_only=False,
    ),
)
