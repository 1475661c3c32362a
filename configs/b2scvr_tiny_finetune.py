"""Both networks once more, from the weights of b2scvr_tiny: the recovery network on broken pictures only, and faster
where it chooses; the detector on samples with the references that the vectors mean."""

_base_ = ["b2scvr_tiny.py"]

train = dict(init="checkpoints/b2scvr_tiny.safetensors", work_dir="work_dirs/b2scvr_tiny_finetune")
stages = dict(
    detect=dict(steps=1200, lr=3e-4, warmup=50, ema=0.997),
    recover=dict(
        steps=700,
        lr=4e-4,
        warmup=50,
        ema=0.995,
        lr_scale={"head.*": 3.0, "stem.*": 2.0},  # how candidates are weighed is learned there
        broken_only=True,
    ),
)
