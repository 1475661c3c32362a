"""Installation: `pip install -e .`; the extras are mmcv, metrics, test and dev."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def version() -> str:
    """Return the version that the package itself states."""
    found = re.search(r'^__version__ = "([^"]+)"', (ROOT / "b2scvr" / "__init__.py").read_text("utf-8"), re.MULTILINE)
    if not found:
        raise RuntimeError("b2scvr/__init__.py states no __version__")
    return found.group(1)


# Lower bounds: the oldest release that has what is used here. Upper bounds: the next release that may break its users.
REQUIRES = [
    "torch>=2.6,<3",
    "torchvision>=0.21,<1",  # deform_conv2d
    "mmengine>=0.10.7,<0.11",  # Config and Registry
    "accelerate>=1.2,<2",
    "tensorboard>=2.17,<3",  # training curves and pictures; torch writes its event files through it
    "sam2==1.1.0",  # its modules are built one by one: any other release may have other ones
    "open_clip_torch>=2.30,<4",
    "timm>=1.0.17,<2",
    "av>=18,<19",  # 18 keeps good frames when a packet ends in garbage; 19 needs Python 3.12
    "numpy>=1.26,<3",
    "opencv-python-headless>=4.9,<6",
    "safetensors>=0.4.5,<1",
    "rich>=13.7,<16",
]
EXTRAS = {
    "mmcv": ["mmcv>=2.1,<3"],  # the same deformable convolution; nothing imports it yet
    "metrics": ["lpips>=0.1.4,<0.2"],
    "test": ["pytest>=8,<10"],
    "dev": ["ruff>=0.17,<0.18", "mypy>=2.4,<3"],  # one layout of the code: formatters change theirs between minors
}

README = ROOT / "README.md"
setup(
    name="b2scvr",
    version=version(),
    description="Blind recovery of video whose bitstream was damaged: a damaged .h264 in, a repaired one out",
    long_description=README.read_text("utf-8") if README.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.13",
    packages=find_packages(include=["b2scvr", "b2scvr.*"]),
    package_data={"b2scvr.write": ["*.html"]},
    install_requires=REQUIRES,
    extras_require=EXTRAS,
)
