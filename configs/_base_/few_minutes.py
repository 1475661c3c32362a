"""What trainings of a few CPU minutes, for ablations, have in common."""

train = dict(
    data="cache/train",
    seed=0,
    precision="fp32",
    workers=0,
    log_every=20,
    keep=1,
)
