"""Clips of any length and size through the full network, window by window: the schedules of frames mode."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, pairwise

import numpy as np
import torch
from torch import Tensor

from b2scvr.cfc.blend import Blend, CrossFade, PublishedBlend
from b2scvr.cfc.generator import RecoveryGenerator
from b2scvr.cfc.portions import GeneratorPortions, LonePicture, PaddedPicture, portions_of
from b2scvr.cfc.stream import PictureStream
from b2scvr.cfc.windows import DamageWindows, Window, published_windows
from b2scvr.ops.batch import pictures_to_tensor
from b2scvr.types import MV_BLOCK

SCHEDULES = ("published", "exact", "fast")
WHITE = 255

# Picture n -> the flow that the bitstream tells from n to n + 1 and back, float32 [2, 3, r, c] (fill.codec_flow).
Vectors = Callable[[int], np.ndarray]


class WindowCache:
    """What is known of the pictures near the current window; nothing is computed twice while a window needs it."""

    def __init__(
        self, portions: GeneratorPortions, stream: PictureStream, vectors: Vectors | None, device: torch.device
    ) -> None:
        self.portions, self.stream, self.vectors, self.device = portions, stream, vectors, device
        self.padded: dict[int, PaddedPicture] = {}
        self.known: dict[int, Tensor] = {}
        self.local: dict[int, Tensor | LonePicture] = {}
        self.flows: dict[int, tuple[Tensor, Tensor]] = {}  # between picture n and n + 1
        self.computed: dict[str, int] = {"known": 0, "local": 0, "flows": 0}

    def restore(self, window: Window, wanted: list[int], keys_only: bool) -> Tensor:
        """Return the pictures `wanted` (display indices) of a window, [len(wanted), 3, H, W] in [0, 1], padded."""
        for index in (*window.local, *window.references):
            self._encode(index)
        for index in window.local:
            self._complete(index)
        return self.portions.window(
            [self.local[i] for i in window.local],
            self._flows(window.local),
            [self.known[i] for i in window.references],
            [i - window.local.start for i in wanted],
            keys_only,
        )

    def forget_all_but(self, window: Window) -> None:
        """Let go of what the window that comes next has no use for."""
        first = window.local.start
        for kept in (self.padded, self.local, self.flows):
            for index in [i for i in kept if i < first]:
                del kept[index]
        for index in [i for i in self.known if i < first and i not in window.references]:
            del self.known[index]

    def __len__(self) -> int:
        """Return how many pictures something is kept of."""
        return len({*self.padded, *self.known, *self.local, *self.flows})

    def _encode(self, index: int) -> None:
        if index not in self.known:
            self.known[index] = self.portions.reference(self._pad(index))
            self.computed["known"] += 1

    def _complete(self, index: int) -> None:
        if index not in self.padded:  # until now it was a reference
            self.padded[index] = self._pad(index)
        if index not in self.local:
            self.local[index] = self.portions.local(self.padded[index], self.known[index])
            self.computed["local"] += 1

    def _flows(self, local: range) -> list[tuple[Tensor, Tensor]]:
        """Return the flow between the neighbours among consecutive pictures."""
        if not self.portions.flow_of_pairs:
            return self._new_flows(local)
        for earlier in local[:-1]:
            if earlier not in self.flows:
                (self.flows[earlier],) = self._new_flows(range(earlier, earlier + 2))
        return [self.flows[i] for i in local[:-1]]

    def _new_flows(self, local: range) -> list[tuple[Tensor, Tensor]]:
        self.computed["flows"] += len(local) - 1
        vectors = _window_vectors(self.vectors, self.stream, local, self.device)
        return self.portions.flows([self.padded[i] for i in local], vectors)

    def _pad(self, index: int) -> PaddedPicture:
        return self.portions.pad(*(x.to(self.device) for x in _tensors(self.stream, index)))


class ClipRestorer:
    """Restores the pictures of a clip inside their masks with the full network; what is outside stays, bit for bit.

    schedule: "published", window after window as the release does, all computed anew in each; "exact", the same windows
    and the same pictures, but each picture is encoded once, windows without damage are left out, what nobody reads is
    not computed, and on a CPU wide convolutions take fewer products (ops.winograd); "fast", so too, and windows around
    the damage only, cross-faded, with reference pictures that are only looked at.
    dtype: of the computation (automatic mixed precision when not float32); channels_last: memory layout of convolutions;
    compiled: torch.compile of encoder, transformer and decoder. truncate: whole levels rounded down, as the release
    writes them, in the schedules that follow it; else real numbers until the end. Raises ValueError for weights that are no
    numbers, and for a network of another kind.
    """

    def __init__(
        self,
        network: RecoveryGenerator,
        schedule: str = "exact",
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        channels_last: bool = False,
        compiled: bool = False,
        truncate: bool = True,
    ) -> None:
        if schedule not in SCHEDULES:
            raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, got {schedule!r}")
        if not isinstance(network, RecoveryGenerator):
            raise ValueError(f"windows of pictures are for RecoveryGenerator, not for {type(network).__name__}")
        _require_finite(network)
        self.network = network.to(device).eval()
        if channels_last:
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if compiled:
            for part in (network.encoder, network.transformer, network.decoder):
                part.compile()
        self.schedule, self.device, self.dtype, self.truncate = schedule, torch.device(device), dtype, truncate
        plain = schedule == "published" or compiled
        self.portions = GeneratorPortions(network) if plain else portions_of(network, dtype)
        self.largest_cache = 0  # pictures of which something was kept at once, in the last clip
        self.largest_buffer = 0  # pictures in memory at once, in the last clip
        self.computed: dict[str, int] = {}  # how often each portion was computed, in the last clip

    def restore(
        self, pictures: Iterable[np.ndarray], masks: Iterable[np.ndarray], vectors: Vectors | None = None
    ) -> Iterator[np.ndarray]:
        """Yield the pictures restored, uint8 [H, W, 3], in display order, as soon as no window changes them any more.

        pictures: uint8 [H, W, 3]; masks: uint8 or bool [H, W], as many; vectors: of the bitstream, asked when the network's
        flow comes from them. Memory does not grow with the number of pictures. Raises ValueError when they do not belong
        together, or vectors are wanting.
        """
        for levels in self.restore_levels(pictures, masks, vectors):
            yield levels if levels.dtype == np.uint8 else np.rint(levels.clip(0, WHITE)).astype(np.uint8)

    @torch.inference_mode()
    def restore_levels(
        self, pictures: Iterable[np.ndarray], masks: Iterable[np.ndarray], vectors: Vectors | None = None
    ) -> Iterator[np.ndarray]:
        """As `restore`, but restored pictures are float32 in levels before rounding; undamaged ones are uint8."""
        stream = PictureStream(pictures, masks)
        blend: Blend = CrossFade() if self.schedule == "fast" else PublishedBlend(self.truncate)
        vectors = vectors if self.network.window_flow.needs_vectors else None
        cache = WindowCache(self.portions, stream, vectors, self.device)
        self.largest_cache = self.largest_buffer = done = 0
        plan = DamageWindows() if self.schedule == "fast" else published_windows
        windows = plan(stream.exists, stream.damaged)
        for window, following in pairwise(chain(windows, [None])):
            if window is None:
                break
            self._restore_window(window, stream, cache, blend)
            self.largest_cache = max(self.largest_cache, len(cache))
            if following is None:
                break
            self.largest_buffer = max(self.largest_buffer, len(stream))
            yield from _finished(done, following.local.start, stream, blend)
            done = following.local.start
            cache.forget_all_but(following)
            stream.forget(min((done, *following.references)))
        self.computed = cache.computed
        yield from _finished(done, None, stream, blend)

    def _restore_window(self, window: Window, stream: PictureStream, cache: WindowCache, blend: Blend) -> None:
        wanted = [i for i in window.local if stream.damaged(i)]
        if not wanted and self.schedule != "published":
            return
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            if self.schedule == "published":
                restored = self._whole_window(window, stream, vectors=cache.vectors)
            else:
                restored = cache.restore(window, wanted, keys_only=self.schedule == "fast")
        height, width = stream.picture(window.local.start).shape[:2]
        places = {i: n for n, i in enumerate(window.local if self.schedule == "published" else wanted)}
        for index in wanted:
            levels = restored[places[index], :, :height, :width].float().permute(1, 2, 0).cpu().numpy() * WHITE
            blend.add(index, window, levels, stream.picture(index), stream.mask(index))

    def _whole_window(self, window: Window, stream: PictureStream, vectors: Vectors | None) -> Tensor:
        """Return all pictures of a window, [T, 3, H, W] in [0, 1], from one pass of the whole network."""
        pairs = [_tensors(stream, i) for i in (*window.local, *window.references)]
        pictures, masks = (torch.stack(x, 1).to(self.device) for x in zip(*pairs, strict=True))
        told = _window_vectors(vectors, stream, window.local, self.device)
        return self.network(pictures, masks, len(window.local), vectors=told).pictures[0]


def _tensors(stream: PictureStream, index: int) -> tuple[Tensor, Tensor]:
    """Return picture [1, 3, H, W] and mask [1, 1, H, W], float32 in [0, 1]."""
    mask = torch.from_numpy(stream.mask(index)).float()
    return pictures_to_tensor(stream.picture(index))[None], mask[None, None]


def _window_vectors(
    vectors: Vectors | None, stream: PictureStream, local: range, device: torch.device
) -> Tensor | None:
    """Return the vectors between consecutive pictures, [1, 2, L - 1, 3, r, c]; ValueError for those of another size."""
    if vectors is None or len(local) < 2:
        return None
    height, width = stream.picture(local.start).shape[:2]
    expected = (2, 3, -(-height // MV_BLOCK), -(-width // MV_BLOCK))
    told = [vectors(index) for index in local[:-1]]
    for index, field in zip(local, told, strict=False):
        if field.shape != expected:
            raise ValueError(
                f"vectors {index} are {list(field.shape)}, pictures of {width}x{height} ask for {list(expected)}"
            )
    return torch.from_numpy(np.stack(told, 1))[None].float().to(device)


def _finished(start: int, stop: int | None, stream: PictureStream, blend: Blend) -> Iterator[np.ndarray]:
    """Yield the pictures from `start` to `stop` (None: the end of the clip)."""
    index = start
    while (stop is None or index < stop) and stream.exists(index):
        restored = blend.take(index)
        yield stream.picture(index) if restored is None else restored
        index += 1
        if stop is None:
            stream.forget(index)


def _require_finite(network: RecoveryGenerator) -> None:
    for name, value in network.state_dict().items():
        if not torch.isfinite(value).all():
            raise ValueError(f"the weights hold values that are no numbers in {name}: take another checkpoint")
