"""What an evaluation is: how damaged twins come about, what methods are told, what is judged. Known ones have names."""

from __future__ import annotations

from dataclasses import dataclass, replace

from b2scvr.bitstream.encode import parse_options

METRICS = ("ssim", "ssim65", "lpips", "vfid", "warping", "boundary")  # beside PSNR and the masks' ratios
MASKS = ("predicted", "first", "given")
COUNTED = ("damaged", "masked")
PUBLISHED_SIZE = (432, 240)
DILATION_STEPS = 4  # of given masks, each with a 3x3 cross, as the published test code does it


@dataclass(frozen=True)
class Protocol:
    """How the damaged twins are made, recovered and judged."""

    branch: str = "144096"  # kind of damage: a branch of BSCV or models' specifications, see engine.twins.damage_of
    crf: float = 23
    gop: int = 16
    encoder: tuple[str, ...] = ()  # further options of x264, each KEY=VALUE (bitstream.encode.encode_h264)
    mode: str = "splice"
    checkpoint: str | None = None  # instead of the configs' own
    device: str = "cpu"
    max_pictures: int | None = None  # of each clip of footage; None = all
    name: str = "ours"
    size: tuple[int, int] | None = None  # (width, height) at which pictures are judged; None = native
    masks: str = "predicted"  # what methods get beside the damaged stream: nothing, "first" or "given" (all), see MASKS
    counted: str = (
        "damaged"  # pictures that differ at all from the clean ones, or "masked": whose true mask is not empty
    )
    window: int = 11  # of the SSIM that the published table of this protocol gives
    metrics: tuple[str, ...] = METRICS
    features: str = "i3d"  # what makes the features for VFID, see metrics.features.make_features
    i3d: str | None = None  # its weights; None looks for them
    peers: tuple[str, ...] = ()  # engine.peers.PEERS
    dataset: bool = False  # the damage is there already: seeds, CRF and GOP say nothing

    @property
    def encoder_options(self) -> dict[str, str]:
        """The options of x264 by name. Raises ValueError for one that is no KEY=VALUE."""
        return parse_options(self.encoder)

    @property
    def encoding(self) -> str:
        """How the clips are encoded, in words."""
        return ", ".join((f"CRF {self.crf:g}", f"GOP {self.gop}", *self.encoder))

    def described(self) -> str:
        """Return the protocol in a sentence, for the head of a table."""
        size = "native size" if self.size is None else f"judged at {self.size[0]}x{self.size[1]}"
        masks = {"predicted": "blind", "first": "blind but for the first mask", "given": "masks given"}[self.masks]
        counted = {"damaged": "all damaged pictures", "masked": "pictures with a mask that is not empty"}[self.counted]
        return f"protocol {self.name}: {size}, {masks}, {counted}"


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(),
        Protocol(name="bscv-240p", mode="auto", size=PUBLISHED_SIZE, masks="given", counted="masked", window=65),
        Protocol(name="bscv-native", mode="auto", masks="given", counted="masked", window=65),
        Protocol(name="blind-b2scvr", mode="auto", size=PUBLISHED_SIZE, masks="first", counted="masked", window=65),
        Protocol(name="m-gdm", mode="auto", size=(448, 256), counted="masked", window=65),
    )
}


def named_protocol(name: str, **changes: object) -> Protocol:
    """Return the protocol called `name` with `changes`. Raises ValueError for a name that is none."""
    if name not in PROTOCOLS:
        raise ValueError(f"unknown protocol {name!r}: known are {', '.join(PROTOCOLS)}")
    return replace(PROTOCOLS[name], **changes)  # type: ignore[arg-type]
