"""The detection network run on one picture, or on all pictures of a clip: NumPy in, NumPy out."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from b2scvr.dac.calibration import Calibration
from b2scvr.dac.detector import DetectorOutput, nearest_first
from b2scvr.fill.surroundings import surroundings as gather
from b2scvr.ops.batch import mask_at_pixels, pictures_to_tensor
from b2scvr.ops.change_point import wrong_probability
from b2scvr.ops.masks import at_pixels, visibly_overwritten
from b2scvr.ops.scenes import scene_numbers, trusted_macroblocks
from b2scvr.types import MB_SIZE, AccessUnitStatus, FirstMask, ParsedClip, PictureDamage, Surroundings

WRONG = 0.5  # probability from which a pixel counts as wrong
SMALLEST_DAMAGE = 0.02  # share of wrong pixels below which a picture that nobody reported counts as intact
VOUCHED_CODECS = ("h264",)  # whose decoder tells every picture that lost bits
REMEMBERED = 8  # reference pictures whose memories are kept

Memory = tuple[Tensor, Tensor]


class DamageDetector:
    """Finds the damage of pictures with a detection network (`Detector`, or another with its forward).

    device: "cpu", "cuda[:N]"; dtype: of the computation (automatic mixed precision when not float32). every_picture: in a
    clip with reported damage, pictures that nobody reported are looked at too when the codec is none of VOUCHED_CODECS;
    worth it only with weights that find damage in the picture alone. calibration: of the network's numbers.

    What the network made of the latest reference pictures is kept, by their content: pictures that share references look
    at each once. The network's weights must stay as they are.
    """

    def __init__(
        self,
        network: nn.Module,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        every_picture: bool = False,
        calibration: Calibration | None = None,
    ) -> None:
        self.every_picture = every_picture
        self.calibration = calibration or Calibration()
        self.network = network.to(device).eval()
        self.device = torch.device(device)
        self.dtype = dtype
        self._memories: OrderedDict[bytes, Memory] = OrderedDict()

    @torch.inference_mode()
    def detect(self, surroundings: Surroundings) -> PictureDamage:
        """Return where the picture is damaged."""
        return self._detect(surroundings)

    @torch.inference_mode()
    def track(self, clip: ParsedClip, first_mask: FirstMask | None = None) -> Iterator[PictureDamage]:
        """Yield the damage of every picture of `clip`, in display order.

        Pictures that nothing touched are not looked at, but for `every_picture`. References are the nearest pictures, before and
        after, of the same scene that are not damaged. What is held does not grow with the clip. All of a lost picture is
        damaged: nothing of it arrived.

        first_mask: (display index, mask uint8 [H, W]) of the first damaged picture, as the published protocol gives it:
        nothing before it is damaged, and in it what the mask says.
        """
        usable = clip.status == AccessUnitStatus.INTACT
        doubtful = usable & (self.every_picture and clip.codec not in VOUCHED_CODECS and not usable.all())
        start = 0
        if first_mask is not None:
            start = first_mask[0]
            usable[:start], usable[start], doubtful[: start + 1] = True, False, False
        scenes = scene_numbers(clip.frames, usable & ~doubtful, trusted_macroblocks(clip), clip.is_key)
        for slot in range(len(clip)):
            if first_mask is not None and slot == start:
                yield given_damage(first_mask[1], clip.mode.shape[1:])
            elif usable[slot] and not doubtful[slot]:
                yield nothing_damaged(clip)
            else:
                references = usable & (scenes == scenes[slot])
                references[slot] = False
                damage = self._detect(gather(_with_references(clip, references), slot))
                damage.mask = np.maximum(damage.mask, visibly_overwritten(clip, slot))
                if clip.lost[slot]:
                    damage.mask[:] = 1
                usable[slot] = bool(doubtful[slot]) and not _is_damaged(damage)
                yield nothing_damaged(clip, damage.confidence) if usable[slot] else damage

    def _detect(self, around: Surroundings) -> PictureDamage:
        tensors = {
            "window": pictures_to_tensor(around.window),
            "fill": pictures_to_tensor(around.fill),
            "evidence": torch.from_numpy(np.ascontiguousarray(around.evidence, np.float32)),
            "concealed": torch.from_numpy(np.ascontiguousarray(around.concealed, np.bool_)),
            "slice_start": torch.from_numpy(np.ascontiguousarray(around.slice_start, np.bool_)),
            "broken": torch.tensor(bool(around.broken)),
        }
        batch = {name: tensor[None].to(self.device) for name, tensor in tensors.items()}
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            known = self._remembered(around, batch["window"])
            output = self.network(current=around.current, **batch, **known)
        macroblocks = self._macroblocks(output, batch)[0].float().cpu().numpy()
        height, width = around.decoded.shape[:2]
        mask = self.calibration.mask(mask_at_pixels(output.mask_logits.float(), (height, width)))[0, 0].cpu().numpy()
        if not around.distance.any():  # no other picture to compare with: what is visible is not known
            mask = np.maximum(mask, at_pixels(macroblocks, height, width))
        return PictureDamage(macroblocks, mask, self.calibration.confidence(float(output.iou_prediction[0])))

    def _macroblocks(self, output: DetectorOutput, batch: dict[str, Tensor]) -> Tensor:
        """Return the probability that a macroblock is wrong, [1, h, w], with the calibrated change point."""
        factor = self.calibration.change_point_temperature
        if factor == 1 or not getattr(self.network, "told_of_concealment", False):
            return output.macroblock_probability
        slices = (batch["slice_start"], batch["concealed"], batch["broken"])
        probability = wrong_probability(output.macroblock_logits, *slices, output.temperature * factor)
        return probability.masked_fill(batch["concealed"], 1.0)

    def _remembered(self, around: Surroundings, window: Tensor) -> dict[str, Sequence[Memory]]:
        """Return the memories of the window's other pictures as the network takes them, each made once."""
        remember = getattr(self.network, "remember", None)
        count = getattr(self.network, "num_memories", 0)
        if remember is None or not count:
            return {}
        memories = []
        for position in nearest_first(len(around.window), around.current)[:count]:
            shown = hashlib.sha256(around.window[position].tobytes()).digest()
            if shown not in self._memories:
                self._memories[shown] = remember(window[:, position])
            self._memories.move_to_end(shown)
            memories.append(self._memories[shown])
        while len(self._memories) > max(REMEMBERED, count):
            self._memories.popitem(last=False)
        return {"memories": memories} if memories else {}


def nothing_damaged(clip: ParsedClip, confidence: float = 1.0) -> PictureDamage:
    """Return the damage of a picture of `clip` that has none."""
    height, width = clip.frames.shape[1:3]
    return PictureDamage(
        np.zeros(clip.mode.shape[1:], np.float32), np.zeros((height, width), np.float32), float(confidence)
    )


def given_damage(mask: np.ndarray, grid: tuple[int, ...]) -> PictureDamage:
    """Return the damage as a mask from outside says, uint8 [H, W]; a macroblock counts when any of its pixels does."""
    height, width = mask.shape
    padded = np.pad(mask > 0, ((0, grid[0] * MB_SIZE - height), (0, grid[1] * MB_SIZE - width)))
    blocks = padded.reshape(grid[0], MB_SIZE, grid[1], MB_SIZE).any(axis=(1, 3))
    return PictureDamage(np.asarray(blocks, np.float32), (mask > 0).astype(np.float32), 1.0)


def _with_references(clip: ParsedClip, references: np.ndarray) -> ParsedClip:
    """`clip` in which exactly the pictures `references`, bool [T], count as intact."""
    others = np.where(clip.status == AccessUnitStatus.INTACT, AccessUnitStatus.DEPENDENT, clip.status)
    return dataclasses.replace(clip, status=np.where(references, AccessUnitStatus.INTACT, others).astype(np.uint8))


def _is_damaged(damage: PictureDamage) -> bool:
    return float((damage.mask >= WRONG).mean()) >= SMALLEST_DAMAGE
