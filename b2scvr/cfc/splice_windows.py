"""One broken picture through the full network: the pictures around it are looked at, it alone is restored."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from b2scvr.cfc.generator import RecoveryGenerator
from b2scvr.cfc.portions import GeneratorPortions, portions_of


class SpliceRestorer:
    """`RecoveryGenerator.restore_picture` with the same result, without what nobody reads.

    The pictures around the broken one are right, so their corrupted content is nothing, computed once for all; of the
    last transformer block and of the decoder only the broken picture is asked. On a CPU wide convolutions take fewer
    products (ops.winograd), of the weights that the network has when this is made. portions: where there are some already.
    """

    def __init__(
        self,
        network: RecoveryGenerator,
        dtype: torch.dtype = torch.float32,
        portions: GeneratorPortions | None = None,
    ) -> None:
        self.network = network
        self.dtype = dtype
        self.portions = portions or portions_of(network, dtype)

    @torch.inference_mode()
    def restore_picture(self, window: Tensor, current: int, mask: Tensor, **unread: Any) -> Tensor:
        """See RecoveryGenerator.restore_picture. A batch, and flow from vectors, go through the whole network."""
        with torch.autocast(window.device.type, self.dtype, enabled=self.dtype != torch.float32):
            if len(window) > 1 or self.network.window_flow.needs_vectors:
                return self.network.restore_picture(window, current, mask, **unread)
            return self._restored(window, current, mask)

    def _restored(self, window: Tensor, current: int, mask: Tensor) -> Tensor:
        portions, (height, width) = self.portions, window.shape[-2:]
        masks = [mask if i == current else torch.zeros_like(mask) for i in range(window.shape[1])]
        padded = [portions.pad(picture, mask) for picture, mask in zip(window.unbind(1), masks, strict=True)]
        if not padded[current].damaged:
            return window[:, current]
        local = [portions.local(picture, portions.reference(picture)) for picture in padded]
        restored = portions.window(local, portions.flows(padded), (), (current,))[..., :height, :width]
        return window[:, current] * (1 - mask) + restored * mask
