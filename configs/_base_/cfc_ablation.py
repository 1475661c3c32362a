"""The small recovery network for a few CPU minutes from scratch: what its gate, experts and augmentation are worth.

Where damage is, the evaluation tells.
"""

_base_ = ["cfc_tiny.py", "few_minutes.py"]

dac = dict(type="ConcealedMacroblocks")
train = dict(save_every=200, validate_every=10000)
stages = dict(
    recover=dict(
        steps=400,
        batch=4,
        lr=1e-3,  # 2e-3, three times that in the head, threw every run off the stack and one for good (docs/ablation_cfc.md)
        warmup=40,
        ema=0.98,
        crop=(96, 96),
        mirror=True,
        recolour=True,
        jitter=True,
        broken_only=True,
        loss=dict(psnr_weight=1.0, hole_weight=0.0, valid_weight=0.05, gradient_weight=0.0),
    ),
)
