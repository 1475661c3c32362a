"""Calibration of a detection network on validation samples: what its thresholds, temperatures and confidence should be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from b2scvr.dac.calibration import Calibration
from b2scvr.data.dataset import Batch, PairDataset
from b2scvr.engine.stages import DetectStage
from b2scvr.metrics.log_odds import CENTRES, EDGES, LogOddsCounts
from b2scvr.ops.batch import mask_at_pixels
from b2scvr.ops.change_point import change_point_nll

TEMPERATURES = np.geomspace(1 / 8, 8, 61)  # that are tried; 1 is among them
LEAST_SPREAD = 1e-3  # standard deviation of predicted IoU below which a prediction is the same for all pictures
FLAGS = ("concealed", "slice_start", "broken")


@dataclass(frozen=True)
class Seen:
    """What a network says of one sample, and the truth."""

    pixels: LogOddsCounts
    predicted_iou: float
    # Arguments of change_point_nll without the temperature; of broken pictures only.
    change_point: tuple[Tensor, Tensor, Tensor, Tensor, Tensor] | None
    temperature: float


@dataclass(frozen=True)
class Quality:
    """How well numbers fit the validation samples; lower is better but for `iou`."""

    iou: float  # mean over pictures with visible damage
    pixel_nll: float  # mean negative log likelihood of a pixel, nats
    change_point_nll: float  # nats a slice
    confidence_error: float  # mean distance of confidence and IoU


def calibrate(
    network: nn.Module,
    data: PairDataset,
    samples: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Calibration, Quality, Quality]:
    """Return the calibration that fits best, and the quality before and after it, on `samples` of `data` (None: all).

    In this order: the mask's threshold has the highest mean IoU; its temperature, and the change point's, the highest
    likelihood; the confidence the least square error. Raises ValueError when no sample shows damage.
    """
    seen = list(_look(network, data, min(samples or len(data), len(data)), progress))
    damaged = [one.pixels for one in seen if one.pixels.wrong.any()]
    if not damaged:
        raise ValueError("no validation sample shows visible damage: there is nothing to calibrate on")
    before = quality(seen, Calibration())
    # A logit from the threshold on counts as damaged, so the candidates are the bins' lower edges.
    ious = np.mean([pixels.iou_by_threshold() for pixels in damaged], axis=0)
    threshold = float(EDGES[int(ious.argmax())])
    mask = _best(TEMPERATURES, lambda t: _pixel_nll(seen, threshold, t))
    point = _best(TEMPERATURES, lambda t: _change_point_nll(seen, t))
    offset, slope = fit_confidence(
        np.array([one.predicted_iou for one in seen]), np.array([_iou_at(one, threshold) for one in seen])
    )
    found = Calibration(threshold, mask, point, offset, slope)
    return found, before, quality(seen, found)


def quality(seen: list[Seen], calibration: Calibration) -> Quality:
    """Return how well a network's numbers fit what was seen, with a calibration."""
    ious = np.array([_iou_at(one, calibration.mask_threshold) for one in seen])
    told = np.array([calibration.confidence(one.predicted_iou) for one in seen])
    return Quality(
        iou=float(np.mean([iou for iou, one in zip(ious, seen, strict=True) if one.pixels.wrong.any()])),
        pixel_nll=_pixel_nll(seen, calibration.mask_threshold, calibration.mask_temperature),
        change_point_nll=_change_point_nll(seen, calibration.change_point_temperature),
        confidence_error=float(np.abs(told - ious).mean()),
    )


@torch.inference_mode()
def _look(
    network: nn.Module, data: PairDataset, count: int, progress: Callable[[int, int], None] | None
) -> Iterator[Seen]:
    network.eval()
    device = next(network.parameters()).device
    for number in range(count):
        batch = {name: value.to(device) for name, value in data.batch_of_one(number * len(data) // count).items()}
        yield _see(network, batch)
        if progress:
            progress(number + 1, count)


def _see(network: nn.Module, batch: Batch) -> Seen:
    output = network(**DetectStage.inputs(batch))
    height, width = batch["visible"].shape[-2:]
    logits = mask_at_pixels(output.mask_logits.float(), (height, width))
    concealed, slice_start, broken = (batch[name] > 0 for name in FLAGS)
    asked = getattr(network, "told_of_concealment", True) and bool(broken.any())
    arguments = (output.macroblock_logits, batch["wrong"] > 0, slice_start, concealed, broken)
    return Seen(
        LogOddsCounts.of(logits.cpu().numpy(), batch["visible"].cpu().numpy()),
        float(output.iou_prediction[0]),
        arguments if asked else None,
        float(output.temperature),
    )


def _iou_at(one: Seen, threshold: float) -> float:
    found, pixels = threshold < CENTRES, one.pixels
    hits, union = pixels.wrong[found].sum(), pixels.wrong.sum() + pixels.right[found].sum()
    return float(hits / union) if union else 1.0


def _pixel_nll(seen: list[Seen], threshold: float, temperature: float) -> float:
    right, wrong = (np.sum([getattr(one.pixels, kind) for one in seen], axis=0) for kind in ("right", "wrong"))
    scaled = (CENTRES - threshold) / temperature
    loss = wrong * np.logaddexp(0, -scaled) + right * np.logaddexp(0, scaled)
    return float(loss.sum() / (right.sum() + wrong.sum()))


def _change_point_nll(seen: list[Seen], factor: float) -> float:
    """Mean over pictures; 0 where the network knows of no slices."""
    values = [
        float(change_point_nll(*one.change_point, one.temperature * factor))
        for one in seen
        if one.change_point is not None
    ]
    return float(np.mean(values)) if values else 0.0


def _best(values: np.ndarray, loss: Callable[[float], float]) -> float:
    """Return the value of the least loss, of several the one nearest to 1: what makes no difference is left alone."""
    ordered = sorted(map(float, values), key=lambda value: abs(np.log(value)))
    return float(min(ordered, key=loss))


def fit_confidence(predicted: np.ndarray, reached: np.ndarray) -> tuple[float, float]:
    """Return offset and slope of the least squares line; a prediction that says nothing, or the opposite, is not used."""
    spread = predicted - predicted.mean()
    slope = 0.0
    if predicted.std() >= LEAST_SPREAD:
        slope = max(float((spread * (reached - reached.mean())).sum() / (spread**2).sum()), 0.0)
    return float(reached.mean() - slope * predicted.mean()), slope
