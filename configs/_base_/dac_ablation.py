"""The tiny detector, smaller still: what prompts are worth, each setting trained from scratch for a few CPU minutes.

No setting compares with the classical fill: vectors and concealment helped to make it.
"""

_base_ = ["dac_tiny.py", "few_minutes.py"]

dac = dict(
    use_fill=False,
    sam=dict(
        image_size=128,
        embed_dim=16,
        window_spec=(8, 4, 8, 4),
        d_model=32,
        memory_dim=16,
        memory_hidden=64,
        num_heads=2,
        decoder_hidden=64,
    ),
    tokens=dict(num_degradation=8),
    comparison_width=8,
    quarter_dim=16,
    macroblock_dim=32,
    dense_dim=16,
)
cfc = dict(type="VectorFill")
train = dict(save_every=100, validate_every=1000)
stages = dict(
    detect=dict(
        steps=200,
        batch=2,
        lr=1e-3,
        warmup=20,
        ema=0.98,
        recolour=True,
        broken_only=False,
        max_pixels=115_000,
    ),
)
