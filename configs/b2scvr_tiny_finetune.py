"""Both stages once more, from the weights of b2scvr_tiny: the detector's first run had older samples, recovery's was short."""

_base_ = ["b2scvr_tiny.py"]

train = dict(init="checkpoints/b2scvr_tiny.safetensors", work_dir="work_dirs/b2scvr_tiny_finetune", seed=1)
stages = dict(
    detect=dict(steps=1200, lr=3e-4, warmup=50, ema=0.997),
    recover=dict(steps=4000, lr=5e-4),
)
