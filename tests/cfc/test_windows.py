"""Windows: those of the release, and those around damage."""

from itertools import pairwise

import pytest

from b2scvr.cfc.windows import DamageWindows, Window, published_windows


def windows(plan, count, damaged=()):
    return list(plan(lambda i: i < count, lambda i: i in damaged))


def test_the_windows_of_the_release():
    found = windows(published_windows, 33)
    assert found[:3] == [
        Window(range(0, 6), (10, 20)),
        Window(range(0, 11), (20,)),
        Window(range(5, 16), (0, 20)),
    ]
    assert found[5] == Window(range(20, 30), (0, 10))
    assert found[6:] == [Window(range(30, 33), ())]


def test_a_picture_alone_in_the_last_chunk():
    assert windows(published_windows, 31)[-1] == Window(range(30, 31), ())
    assert windows(published_windows, 0) == []


@pytest.mark.parametrize("damaged", [{0}, {99}, {5, 6, 7}, set(range(20, 61)), set(range(100)), {3, 50, 97}])
def test_every_damaged_picture_is_in_a_window_and_windows_go_forward(damaged):
    found = windows(DamageWindows(), 100, damaged)
    real = [window for window in found if window.local]
    assert damaged <= {i for window in real for i in window.local}
    assert all(damaged & set(window.local) for window in real)
    starts = [window.local.start for window in found]
    assert starts == sorted(starts)
    firsts = [min((window.local.start, *window.references)) for window in found]
    assert firsts == sorted(firsts)
    assert all(not set(window.local) & set(window.references) for window in found)


def test_windows_on_a_long_run_of_damage_overlap():
    real = [w for w in windows(DamageWindows(overlap=3), 40, set(range(40))) if w.local]
    assert all(len(set(a.local) & set(b.local)) == 3 for a, b in pairwise(real))


def test_the_cost_follows_the_damage():
    assert len([w for w in windows(DamageWindows(), 1000, {500}) if w.local]) == 1


def test_a_window_without_room_is_refused():
    with pytest.raises(ValueError, match="no room"):
        DamageWindows(length=4, context=2, overlap=2)
