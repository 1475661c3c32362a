"""A tiny data set: two clips of ten small pictures, two branches, built once by two processes."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from b2scvr.bitstream.encode import encode_h264
from b2scvr.data.bscv.build import build
from b2scvr.data.bscv.settings import BuildSettings
from b2scvr.data.bscv.sources import list_sources

BRANCHES = ["144096", "244096"]


@pytest.fixture(scope="session")
def footage(tmp_path_factory, pictures):
    """A video and a folder of pictures, noisy enough that cuts of 2,048 bytes leave something of a slice."""
    folder = tmp_path_factory.mktemp("footage")
    noise = np.random.default_rng(1).integers(-40, 40, pictures[:10].shape)
    noisy = np.clip(pictures[:10] + noise, 0, 255).astype(np.uint8)
    (folder / "video.h264").write_bytes(encode_h264(noisy, crf=10))
    (folder / "JPEGImages" / "frames").mkdir(parents=True)
    for index, picture in enumerate(noisy[:, ::-1]):
        path = folder / "JPEGImages" / "frames" / f"{index:05d}.jpg"
        assert cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return folder


@pytest.fixture(scope="session")
def settings():
    return BuildSettings(seed=5, pictures="png", gop=5, crf=12)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory, footage, settings):
    root = tmp_path_factory.mktemp("dataset")
    result = build(list_sources(footage), root, settings, BRANCHES, workers=2)
    assert (result.built, result.kept, result.failures) == (2, 0, [])
    return root


@pytest.fixture(scope="session")
def content():
    """Every file and link below a folder, with what is in it."""

    def read(root):
        found = {}
        for path in sorted(Path(root).rglob("*")):
            if path.is_symlink():
                found[str(path.relative_to(root))] = path.readlink()
            elif path.is_file():
                found[str(path.relative_to(root))] = path.read_bytes()
        return found

    return read
