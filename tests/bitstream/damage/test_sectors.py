"""Bad sectors and files that end early."""

import numpy as np
import pytest

from b2scvr.bitstream.damage import BadSectors, Independent, Truncation, damage
from b2scvr.bitstream.damage.coded_stream import CodedStream


def test_sectors_of_zeros_at_the_rate(long_stream):
    channel = Independent(0.2)
    damaged, changes = damage(long_stream, BadSectors(channel, size=512, seed=3))
    sectors = -(-len(long_stream) // 512)
    bad = set(channel.errors(sectors, np.random.default_rng(3)).tolist())
    assert abs(len(bad) - 0.2 * sectors) < 5 * np.sqrt(sectors * 0.16)
    for sector in range(sectors):
        part = slice(512 * sector, 512 * (sector + 1))
        assert damaged[part] == (bytes(len(long_stream[part])) if sector in bad else long_stream[part])
    assert {change.kind for change in changes} == {"zeroed"}


def test_random_bytes_are_the_seeds(long_stream):
    model = BadSectors(Independent(1), fill="random", seed=3)
    damaged, changes = damage(long_stream, model)
    assert damage(long_stream, model) == (damaged, changes)
    assert len(damaged) == len(long_stream) and {change.kind for change in changes} == {"overwritten"}
    counts = np.bincount(np.frombuffer(damaged, np.uint8), minlength=256)
    assert abs(counts - len(damaged) / 256).max() < 6 * np.sqrt(len(damaged) / 256)
    assert damage(long_stream, BadSectors(Independent(1), fill="random", seed=4))[0] != damaged


def test_protected_bytes_stay(clean_stream):
    parts = ("sets", "headers")
    damaged, changes = damage(clean_stream, BadSectors(Independent(1), protect=parts))
    spared = CodedStream(clean_stream).protected(parts)
    before, after = (np.frombuffer(data, np.uint8) for data in (clean_stream, damaged))
    assert np.array_equal(after, np.where(spared, before, 0)) and 200 < spared.sum() < len(spared) / 2
    assert len({change.slice for change in changes} - {-1}) == 24


@pytest.mark.parametrize(("model", "kept"), [({"fraction": 0.25}, 0.25), ({"byte": 1000}, None), ({"fraction": 0}, 0)])
def test_an_early_end(model, kept, long_stream):
    damaged, changes = damage(long_stream, Truncation(**model))
    size = 1000 if kept is None else int(kept * len(long_stream))
    assert damaged == long_stream[:size]
    assert changes[0].offset == size and sum(change.length for change in changes) == len(long_stream) - size
    assert [change.slice for change in changes] == list(range(changes[0].slice, 200))


def test_an_end_behind_the_end(long_stream):
    assert damage(long_stream, Truncation(fraction=1)) == (long_stream, [])
    assert damage(long_stream, Truncation(byte=1 << 40)) == (long_stream, [])


@pytest.mark.parametrize(
    "model",
    [
        Truncation(),
        Truncation(0.5, 100),
        Truncation(fraction=2),
        Truncation(byte=-1),
        BadSectors(size=0),
        BadSectors(fill="ones"),
        BadSectors(Independent(7)),
    ],
)
def test_values_that_make_no_sense(model, long_stream):
    with pytest.raises(ValueError, match="must"):
        damage(long_stream, model)
