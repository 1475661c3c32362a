"""Both networks once more, from the weights of b2scvr_tiny."""

_base_ = ["b2scvr_tiny.py"]

train = dict(init="checkpoints/b2scvr_tiny.safetensors", work_dir="work_dirs/b2scvr_tiny_finetune")
stages = dict(
    detect=dict(steps=1200, lr=3e-4, warmup=50, ema=0.997),
    recover=dict(steps=3600, lr=3e-4, warmup=100),
)
