"""Published weights of backbones: which file, how large, under what licence, and where it may lie on this machine.

Nothing is downloaded. A file is looked for at the path that is given, else in the folders of the environment variable
B2SCVR_WEIGHTS, else in `checkpoints/` of the working directory and in the caches of torch.hub and of the Hugging Face hub.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "B2SCVR_WEIGHTS"  # folders, or files, separated as in PATH
READ_BYTES = 1 << 20
MEGABYTE = 1_000_000
SAM2_URL = "https://dl.fbaipublicfiles.com/segment_anything_2/092824"
HUB_URL = "https://huggingface.co"
CLIP_HUB = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
DINOV2_URL = "https://dl.fbaipublicfiles.com/dinov2"


class MissingWeightsError(FileNotFoundError):
    """Weights that are not on this machine; the message says which file, from where, how large, and the ways out."""


@dataclass(frozen=True)
class KnownWeights:
    """One file of published weights."""

    name: str
    file: str
    megabytes: int  # about, 10^6 bytes: four times the parameters
    licence: str
    url: str
    hub: str | None = None  # repository of the Hugging Face hub that holds the same file
    sha256: str | None = None  # None: the publisher states none that we know, so it is not checked


def _sam2(size: str, file: str, megabytes: int) -> KnownWeights:
    name = f"sam2.1_hiera_{size}"
    hub = f"facebook/{file.removesuffix('.pt').replace('_', '-')}"
    return KnownWeights(name, file, megabytes, "Apache-2.0", f"{SAM2_URL}/{file}", hub)


def _dinov2(variant: str, megabytes: int) -> KnownWeights:
    file = f"dinov2_{variant}_pretrain.pth"
    return KnownWeights(f"dinov2_{variant}", file, megabytes, "Apache-2.0", f"{DINOV2_URL}/dinov2_{variant}/{file}")


KNOWN: dict[str, KnownWeights] = {
    weights.name: weights
    for weights in (
        _sam2("t", "sam2.1_hiera_tiny.pt", 156),
        _sam2("s", "sam2.1_hiera_small.pt", 184),
        _sam2("b+", "sam2.1_hiera_base_plus.pt", 323),
        _sam2("l", "sam2.1_hiera_large.pt", 898),
        KnownWeights(
            "clip_vit_b_32",
            "open_clip_pytorch_model.bin",
            605,
            "MIT",
            f"{HUB_URL}/{CLIP_HUB}/resolve/main/open_clip_pytorch_model.bin",
            CLIP_HUB,
        ),
        KnownWeights(
            "spynet",
            "spynet_20210409-c6c1bd09.pth",
            6,
            "Apache-2.0",
            "https://download.openmmlab.com/mmediting/restorers/basicvsr/spynet_20210409-c6c1bd09.pth",
        ),
        _dinov2("vits14", 88),
        _dinov2("vitb14", 346),
        _dinov2("vitl14", 1217),
    )
}


def find_weights(known: KnownWeights) -> Path | None:
    """Return where the file lies on this machine, the first place of the module's list, or None."""
    return next((path for path in _places(known) if path.is_file()), None)


def require_weights(known: KnownWeights, path: str | Path | None = None) -> Path:
    """Return the file at `path`, or where `find_weights` finds it.

    Raises MissingWeightsError when it is nowhere, ValueError when its SHA-256 is not the one known.
    """
    found = Path(path) if path is not None else find_weights(known)
    if found is None or not found.is_file():
        where = f"not at {found}" if found is not None else "not found on this machine"
        raise MissingWeightsError(
            f"weights of {known.name}: {known.file} is {where}; get it from {known.url} (about {known.megabytes} MB, "
            f"{known.licence}), put its folder into {VARIABLE}, or train without it: --cfg-options pretrained=False"
        )
    if known.sha256 is not None and (got := sha256_of(found)) != known.sha256:
        raise ValueError(f"{found}: its SHA-256 is {got}, that of {known.file} is {known.sha256}; get it anew")
    return found


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _places(known: KnownWeights) -> Iterator[Path]:
    for entry in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        place = Path(entry).expanduser()
        yield place if place.name == known.file else place / known.file
    yield Path("checkpoints") / known.file
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    torch_home = Path(os.environ.get("TORCH_HOME", cache / "torch")).expanduser()
    yield torch_home / "hub" / "checkpoints" / known.file
    if known.hub is not None:
        home = Path(os.environ.get("HF_HOME", cache / "huggingface")).expanduser()
        hub = Path(os.environ.get("HF_HUB_CACHE", home / "hub")).expanduser()
        snapshots = hub / f"models--{known.hub.replace('/', '--')}" / "snapshots"
        yield from sorted(snapshots.glob(f"*/{known.file}"))
