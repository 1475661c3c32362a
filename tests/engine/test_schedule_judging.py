"""Schedules judged on damaged twins: all see the same, exact says what published says, splice goes through the stream."""

import numpy as np
import pytest
import torch

from b2scvr.bitstream.encode import encode_h264
from b2scvr.cfc import RecoveryGenerator
from b2scvr.checkpoints.load import save_weights
from b2scvr.engine.evaluate import CONCEALMENT
from b2scvr.engine.protocol import Protocol
from b2scvr.engine.schedule_judging import judge_schedules

SMALL = dict(
    encoder=dict(stem=(4, 4, 8, 8), tail=((8, 1), (8, 2))),
    parts=(),
    flow=dict(widths=(4,), levels=2),
    propagation=dict(groups=4, depth=1),
    transformer=dict(dim=8, depth=1, heads=2, window=(2, 3), expand=(1, 1), focal_window=(3, 3), ffn_channels=2),
    decoder=dict(width=4),
)


@pytest.fixture
def arguments(tmp_path, pictures):
    """A clip, a config of a very small network with random weights, and a protocol that names them."""
    clip, config, weights = (tmp_path / name for name in ("clip.h264", "config.py", "weights.safetensors"))
    clip.write_bytes(encode_h264(pictures, crf=20))
    config.write_text(f"dac = dict(type='ConcealedMacroblocks')\ncfc = dict(type='RecoveryGenerator', **{SMALL!r})\n")
    torch.manual_seed(0)
    save_weights(weights, {"cfc": RecoveryGenerator(**SMALL).state_dict()})
    return [clip], [0], config, Protocol(checkpoint=str(weights), crf=20, gop=12, metrics=(), max_pictures=10)


def test_schedules_on_the_same_twin(arguments):
    clips, seeds, config, protocol = arguments
    found = judge_schedules(clips, seeds, config, ["published", "exact", "splice"], protocol)
    assert [result.method for result in found] == [CONCEALMENT, "published", "exact", "splice"]
    concealment, published, exact, splice = (result["psnr"] for result in found)
    assert exact == pytest.approx(published, abs=1e-2) and abs(published - concealment) > 0.01
    assert np.isfinite(splice) and abs(splice - published) > 1e-3
    assert len({(result.damaged, result.broken) for result in found}) == 1 and found[0].damaged > 0


def test_unknown_schedules_are_named(arguments):
    clips, seeds, config, protocol = arguments
    with pytest.raises(ValueError, match="one of published, exact, fast, splice, got slow"):
        judge_schedules(clips, seeds, config, ["slow"], protocol)
