"""Where everything lies: the published folder layout of BSCV, one folder a branch, and what a build keeps beside it.

ROOT/manifest.json                       the build as a whole, gathered from the records
ROOT/settings.json                       what it is made with; another run must ask for the same
ROOT/records/<id>.json                   written last: a clip without it is not there
ROOT/144096/GT_h264/<id>.h264            the clean stream, and its pictures, as published in this branch only;
ROOT/144096/GT_JPEGImages/<id>/%05d.jpg  the others hold relative links to both folders
ROOT/144096/GT_checksums/<id>.sha256     of the two above, as `sha256sum -c` reads it
ROOT/<branch>/BSC_h264/<id>_2.h264       the damaged stream
ROOT/<branch>/BSC_JPEGImages/<id>/%05d.jpg
ROOT/<branch>/masks/<id>/%05d.png        0 or 255: the difference, closed
ROOT/<branch>/Diff/<id>/%05d.png         0 or 255: the difference
ROOT/<branch>/parses/<id>.npz            the parsed damaged stream without its pictures
ROOT/<branch>/checksums/<id>.sha256      of the branch's files of the clip
ROOT/<branch>/train.json                 {id: number of pictures}, as the published training code reads it
"""

from __future__ import annotations

from pathlib import Path

TRUTH_BRANCH = "144096"
TRUTH_STREAMS, TRUTH_PICTURES, TRUTH_CHECKSUMS = "GT_h264", "GT_JPEGImages", "GT_checksums"
STREAMS, PICTURES, MASKS, DIFFERENCES = "BSC_h264", "BSC_JPEGImages", "masks", "Diff"
PARSES, CHECKSUMS = "parses", "checksums"
PICTURE_NAME = "{:05d}"
DAMAGED_SUFFIX = "_2"  # of a damaged stream's name
MANIFEST, SETTINGS, RECORDS, INDEX, WORK = "manifest.json", "settings.json", "records", "train.json", ".work"
CLIP_ENTRIES = {  # folder -> what a clip's entry there has behind the id
    TRUTH_STREAMS: ".h264",
    TRUTH_PICTURES: "",
    STREAMS: f"{DAMAGED_SUFFIX}.h264",
    PICTURES: "",
    MASKS: "",
    DIFFERENCES: "",
    PARSES: ".npz",
}

# The published training code has names of its own for some folders.
TRAINING_NAMES = {"JPEGImages": TRUTH_PICTURES, "BSCJPEGImages": PICTURES, "train_mask": MASKS}
# What the loader looks for, in this order.
TRUTH_PICTURE_FOLDERS = (TRUTH_PICTURES, "JPEGImages")
PICTURE_FOLDERS = (PICTURES, "BSCJPEGImages")
MASK_FOLDERS = (MASKS, "Annotations", "train_mask")


def record_path(root: Path, clip: str) -> Path:
    """Return where the record of the clip `clip` lies in the data set `root`."""
    return root / RECORDS / f"{clip}.json"


def truth_stream(clip: str) -> str:
    """Return the path of the clean stream of `clip` in the data set."""
    return f"{TRUTH_BRANCH}/{TRUTH_STREAMS}/{clip}.h264"


def damaged_stream(branch: str, clip: str) -> str:
    """Return the path of the damaged stream of `clip` in the data set."""
    return f"{branch}/{STREAMS}/{clip}{DAMAGED_SUFFIX}.h264"


def truth_checksums(clip: str) -> str:
    """Return the path of the checksums of the clean files of `clip` in the data set."""
    return f"{TRUTH_BRANCH}/{TRUTH_CHECKSUMS}/{clip}.sha256"


def branch_checksums(branch: str, clip: str) -> str:
    """Return the path of the checksums of the files of `clip` in `branch` in the data set."""
    return f"{branch}/{CHECKSUMS}/{clip}.sha256"


def link_names(root: Path, branch: str) -> None:
    """Make the relative links that give `branch` the published names of what lies elsewhere. Existing ones stay.

    Raises OSError where the file system knows no links.
    """
    folder = root / branch
    folder.mkdir(parents=True, exist_ok=True)
    links = dict(TRAINING_NAMES)
    if branch != TRUTH_BRANCH:
        links |= {name: f"../{TRUTH_BRANCH}/{name}" for name in (TRUTH_STREAMS, TRUTH_PICTURES)}
    for name, target in links.items():
        if not (folder / name).is_symlink() and not (folder / name).exists():
            (folder / name).symlink_to(target)
