"""The recovery network once more, from the weights of b2scvr_tiny: broken pictures only, and faster where it chooses."""

_base_ = ["b2scvr_tiny.py"]

train = dict(init="checkpoints/b2scvr_tiny.safetensors", work_dir="work_dirs/b2scvr_tiny_finetune")
stages = dict(
    recover=dict(
        steps=700,
        lr=4e-4,
        warmup=50,
        ema=0.995,
        lr_scale={"head.*": 3.0, "stem.*": 2.0},  # how candidates are weighed is learned there
        broken_only=True,
    ),
)
