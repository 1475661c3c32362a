"""Work done side by side is the work done in a row; devices and number types by their names."""

import resource
import subprocess
import sys
import threading
import time

import pytest
import torch

from b2scvr.ops.compute import DTYPES, pick_device, pick_dtype, side_by_side

CPU = torch.device("cpu")


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_results_come_in_order_whatever_the_threads(threads, count):
    def work(item):
        time.sleep(0.01 * (5 - item))
        return item, torch.get_num_threads()

    done = list(side_by_side(work, range(count), CPU))
    assert [item for item, _ in done] == list(range(count))
    share = threads // min(count, threads) if count else None
    assert all(own == share for _, own in done) and torch.get_num_threads() == threads


def test_two_are_worked_at_together(threads):
    meet = threading.Barrier(2, timeout=5)
    if threads < 2:
        places = {place for place in side_by_side(lambda _: threading.get_ident(), range(4), CPU)}
        assert places == {threading.get_ident()}
        return
    assert len(list(side_by_side(lambda _: meet.wait(), range(2), CPU))) == 2


def test_new_threads_get_the_threads_that_were_set(threads):
    list(side_by_side(lambda item: item, range(4), CPU))
    seen = []
    other = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert seen == [threads]


def test_an_error_is_told_and_leaves_the_threads_as_they_were(threads):
    def work(item):
        if item == 1:
            raise ValueError("the second one")
        return item

    with pytest.raises(ValueError, match="the second one"):
        list(side_by_side(work, range(3), CPU))
    assert torch.get_num_threads() == threads


def test_number_types_by_name():
    assert pick_dtype("bf16") is torch.bfloat16 and set(DTYPES) == {"fp32", "bf16", "fp16"}
    with pytest.raises(ValueError, match="fp32, bf16, fp16, got 'int4'"):
        pick_dtype("int4")


def test_a_device_that_is_not_there_is_refused():
    assert pick_device("cpu") == CPU
    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert pick_device("auto") == CPU
    with pytest.raises(ValueError, match="use --device cpu"):
        pick_device("cuda:0")


RESIDENT = """
import sys, torch
from pathlib import Path
if sys.argv[1] == "kept":
    from b2scvr.ops.compute import keep_freed_memory
    assert keep_freed_memory() and keep_freed_memory()
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1])
before = resident()
blocks = [torch.ones(24 << 18) for _ in range(4)]  # 24 MiB each
print(resident() - before)
blocks.clear()
print(resident() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is the GNU C library's")
@pytest.mark.parametrize("how", ["kept", "plain"])
def test_freed_memory_stays_at_hand_when_asked_to(how):
    told = subprocess.run([sys.executable, "-c", RESIDENT, how], capture_output=True, text=True, check=True)
    used, left = map(int, told.stdout.split())
    whole = (4 * 24 << 20) // resource.getpagesize()
    assert used > 0.9 * whole
    assert left > 0.9 * whole if how == "kept" else left < 0.1 * whole
