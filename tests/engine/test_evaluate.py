"""Evaluation: the table says what was measured, and the truth itself would win it."""

import json
from pathlib import Path

import numpy as np
import pytest

from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.reader import decode
from b2scvr.engine import twins
from b2scvr.engine.evaluate import CONCEALMENT, evaluate_twin
from b2scvr.engine.evaluation_report import as_csv, as_json, gain_series, gain_table, markdown, summary
from b2scvr.engine.judging import BLIND, TRUE_MASKS, Result
from b2scvr.engine.peers import trace_masks
from b2scvr.engine.protocol import Protocol
from b2scvr.pipeline import Recoverer
from b2scvr.types import CorruptionMasks, RecoveredClip

CONFIG = str(Path(__file__).resolve().parents[2] / "configs" / "vector_fill.py")


@pytest.fixture
def footage(tmp_path, pictures):
    path = tmp_path / "texture.h264"
    path.write_bytes(encode_h264(pictures, crf=5))
    return path


class Oracle:
    """Gives back the clean decode."""

    def __init__(self, truth):
        self.truth = truth

    def recover(self, coded):
        masks = (coded.clip.frames != self.truth).any(-1).astype(np.uint8)
        found = CorruptionMasks(masks, np.ones(len(masks), np.float32))
        coded.clip.mv_past[:] = 0  # recovery may change vectors: other methods must not see it
        return RecoveredClip(self.truth, found, "splice", None, (), {})


def test_the_truth_gains_most_and_concealment_nothing(footage, monkeypatch):
    protocol = Protocol(crf=20, gop=12)
    decoded = []
    monkeypatch.setattr(twins, "decode", lambda data: decoded.append(decode(data)) or decoded[-1])
    concealment, oracle = evaluate_twin(
        footage, 0, ["oracle.py"], protocol, lambda config, protocol: Oracle(decoded[0].clip.frames)
    )
    assert (concealment.method, oracle.method) == (CONCEALMENT, "oracle")
    assert concealment.damaged >= concealment.broken > 0
    assert oracle["psnr"] == 100 and concealment["psnr"] < 40
    assert oracle["recall"] > 0.99  # the truth's masks are closed: a few pixels more
    assert decoded[1].clip.mv_past.any(), "the twin itself must not be changed"


def test_vector_fill_is_evaluated_by_its_own_config(footage):
    results = evaluate_twin(footage, 1, [CONFIG], Protocol(crf=20, gop=12), lambda config, protocol: Recoverer(config))
    assert [result.method for result in results] == [CONCEALMENT, "vector_fill"]
    assert results[1]["psnr"] > results[0]["psnr"]
    assert results[1].seconds > 0


def test_trace_masks_cover_whole_macroblocks(pictures):
    clip = decode(encode_h264(pictures[:2])).clip
    clip.damage_trace[1, 0, 1] = 0.7
    masks = trace_masks(clip)
    assert masks.sum() == 256 and masks[1, :16, 16:32].all()


def result(clip, seed, method, psnr, iou=0.5, told=BLIND):
    scores = {"psnr": psnr, "psnr_broken": psnr - 1, "psnr_dependent": None, "iou_all": iou, "ssim": None}
    return Result(clip, seed, "144096", method, told, 12, 10, 2, 1.0, scores)


def test_gains_are_averaged_over_seeds_then_clips():
    base = [result(clip, seed, CONCEALMENT, 20.0 + seed) for clip in "ab" for seed in (0, 1)]
    gains = {("a", 0): 1.0, ("a", 1): 2.0, ("b", 0): -1.0, ("b", 1): 0.0}
    own = [result(clip, seed, "net", 20.0 + seed + gain) for (clip, seed), gain in gains.items()]
    table = gain_table(base + own)
    assert table["a", "net"] == pytest.approx({"all": 1.5, "broken": 1.5})
    text = markdown(base + own, Protocol())
    line = next(line for line in text.splitlines() if line.startswith("| net "))
    assert "+0.50 [-0.50, +1.50]" in line and "-0.50 (b)" in line and "is ahead" not in text
    assert "2 clips, branch 144096, 2 seeds, CRF 23, GOP 16, mode splice" in text
    assert "2 clips, branch 144096, mode splice" in markdown(base + own, Protocol(dataset=True))
    assert "| a | 10 (2) | 20.50, 0.50 | +1.50, 0.50 |" in text


def test_the_leader_is_compared_with_every_method_clip_by_clip():
    gains = {
        CONCEALMENT: (0, 0),
        "fill": (1, 2),
        "net": (2, 5),
        "telea, masks of net": (-1, 0),
        "telea, true masks": (3, 4),
    }
    rows = [
        result(clip, 0, method, 20.0 + gain, told=TRUE_MASKS if "true" in method else BLIND)
        for method, both in gains.items()
        for clip, gain in zip("ab", both, strict=True)
    ]
    table = markdown(rows, Protocol(), leader="net").splitlines()[:9]
    lines = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in table}
    column = lines["method"].index("net is ahead by")
    assert [lines[method][column] for method in gains] == [
        "+3.50 [+2.00, +5.00]", "+2.00 [+1.00, +3.00]", "-", "+4.00 [+3.00, +5.00]", "+0.00 [-1.00, +1.00]",
    ]  # fmt: skip
    series = {one.name: one for one in gain_series(rows)}
    assert set(series) == set(gains) - {CONCEALMENT}
    assert series["telea, true masks"].hollow and not series["net"].hollow
    assert (series["net"].low, series["net"].high) == (2, 5)


def test_results_in_files():
    results = [result("a", 0, CONCEALMENT, 20.0), result("b", 0, CONCEALMENT, 30.0)]
    head, first, _ = as_csv(results).splitlines()
    assert dict(zip(head.split(","), first.split(","), strict=True)) | {"psnr": "20.0", "ssim": "", "told": BLIND} == {
        "clip": "a", "seed": "0", "branch": "144096", "method": CONCEALMENT, "told": BLIND, "pictures": "12",
        "damaged": "10", "broken": "2", "seconds": "1.0", "psnr": "20.0", "psnr_broken": "19.0", "psnr_dependent": "",
        "iou_all": "0.5", "ssim": "",
    }  # fmt: skip
    record = json.loads(as_json(results, Protocol(), ["a.mp4"], [0], {"lpips": "no weights"}, ["c: gone"]))
    assert record["protocol"]["branch"] == "144096" and record["results"][0]["psnr"] == 20
    assert record["summary"][CONCEALMENT]["psnr"] == {"mean": 25, "low": 20, "high": 30, "clips": 2}
    assert (record["missing"], record["skipped"]) == ({"lpips": "no weights"}, ["c: gone"])
    assert summary(results[:1])[CONCEALMENT]["psnr"] == {"mean": 20, "low": None, "high": None, "clips": 1}
