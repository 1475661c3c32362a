"""Where a channel puts errors: rates within binomial bounds, bursts of the chain's length, ends of the range."""

import numpy as np
import pytest

from b2scvr.bitstream.damage import GilbertElliott, Independent

_COUNT = 1_000_000
_SIGMAS = 5  # the draws are seeded: this holds or not, once and for all


def _errors(channel, count=_COUNT, seed=0):
    channel.validate()
    found = channel.errors(count, np.random.default_rng(seed))
    assert found.dtype == np.int64 and (np.diff(found) > 0).all()
    assert not len(found) or (found[0] >= 0 and found[-1] < count)
    return found


@pytest.mark.parametrize("rate", [1e-5, 1e-3, 0.3])
def test_independent_errors_at_their_rate(rate):
    found = _errors(Independent(rate))
    assert abs(len(found) - _COUNT * rate) < _SIGMAS * np.sqrt(_COUNT * rate * (1 - rate))
    assert np.array_equal(found, _errors(Independent(rate))) and not np.array_equal(
        found, _errors(Independent(rate), seed=1)
    )
    halves = np.histogram(found, 2, (0, _COUNT))[0]
    assert abs(halves[0] - halves[1]) < _SIGMAS * np.sqrt(len(found))


@pytest.mark.parametrize(("p", "r"), [(0.001, 0.1), (0.01, 0.5), (0.2, 0.9)])
def test_bursts_last_as_long_as_the_chain_stays_in_the_bad_state(p, r):
    """With errors all over the bad state and none in the good one, runs are stays: 1 / r and 1 / p places on average."""
    found = _errors(GilbertElliott(p, r, good=0, bad=1))
    breaks = np.flatnonzero(np.diff(found) > 1)
    runs = np.diff(np.concatenate([[-1], breaks, [len(found) - 1]]))
    gaps = np.diff(found)[breaks] - 1
    for lengths, leave in ((runs, r), (gaps, p)):  # geometric: mean 1 / leave, variance (1 - leave) / leave ** 2
        assert abs(lengths.mean() - 1 / leave) < _SIGMAS * np.sqrt((1 - leave) / leave**2 / len(lengths))
        assert lengths.min() == 1


def test_each_state_has_its_rate():
    channel = GilbertElliott(p=0.001, r=0.004, good=0.01, bad=0.5)
    mean = (0.004 * 0.01 + 0.001 * 0.5) / 0.005
    assert abs(len(_errors(channel)) / _COUNT - mean) < 0.01  # a fifth of the time is bad, in 1,000 stays or so
    always = _errors(GilbertElliott(0.3, 0.3, good=0.2, bad=0.2))  # equal states: independent errors
    assert abs(len(always) - 0.2 * _COUNT) < _SIGMAS * np.sqrt(_COUNT * 0.16)
    neighbours = (np.diff(always) == 1).mean()
    assert abs(neighbours - 0.2) < _SIGMAS * np.sqrt(0.16 / len(always))


def test_the_chain_starts_in_its_stationary_state():
    channel = GilbertElliott(0.1, 0.3, good=0, bad=1)
    first = [0 in channel.errors(3, np.random.default_rng(seed)) for seed in range(2000)]
    assert abs(np.mean(first) - 0.25) < _SIGMAS * np.sqrt(0.1875 / 2000)


def test_all_none_and_nothing_to_hit():
    everything = np.arange(50)
    assert np.array_equal(_errors(Independent(1), 50), everything) and not len(_errors(Independent(0), 50))
    assert np.array_equal(_errors(GilbertElliott(0.5, 0.5, 1, 1), 50), everything)
    assert not len(_errors(GilbertElliott(1e-15, 1e-15, 0, 0), 50))
    for channel in (Independent(0.5), GilbertElliott(0.5, 0.5, 0, 1)):
        assert not len(_errors(channel, 0))


@pytest.mark.parametrize(
    "channel",
    [
        Independent(1.5),
        Independent(-1),
        GilbertElliott(0, 0.5, 0, 1),
        GilbertElliott(0.5, 0, 0, 1),
        GilbertElliott(0.5, 0.5, 2, 1),
    ],
)
def test_values_that_make_no_sense(channel):
    with pytest.raises(ValueError, match="must"):
        channel.validate()
