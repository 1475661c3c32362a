"""Stage 2: how the full recovery generator is trained, adversarially, on windows and on broken pictures.

Its samples: tools/make_pairs.py FOOTAGE cache/train --clips.
"""

train = dict(
    data="cache/train",
    validation=None,
    work_dir="work_dirs/cfc_corrected",
    seed=0,
    precision="bf16",
    workers=4,
    save_every=1000,
    validate_every=5000,
    validate_samples=16,
)
stages = dict(
    # The published schedule (BSCVR: Adam with betas 0 and 0.99, 1e-4, a tenth from step 200000 on; 432x240, 5 + 3 pictures).
    recover=dict(
        steps=250000,
        batch=4,
        lr=1e-4,
        betas=(0.0, 0.99),
        weight_decay=0.0,
        warmup=0,
        schedule="step",
        milestones=(200000,),
        samples=("pictures", "windows"),
        local=5,
        references=3,
        crop=(240, 432),
        mirror=True,
        recolour=True,
        jitter=True,
        broken_only=False,
        loss=dict(hole_weight=1.0, valid_weight=1.0, adversarial_weight=0.01, flow_weight=1.0, perceptual_weight=0.0),
        discriminator=dict(lr=1e-4, betas=(0.0, 0.99), widths=(32, 64, 128, 128, 128, 128)),
    ),
)
