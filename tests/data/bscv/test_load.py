"""The loader: folders and zips by any published name, and what does not belong together put right and told."""

import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.reader import decode, read
from b2scvr.data.bscv.build import build
from b2scvr.data.bscv.load import BscvBranch
from b2scvr.data.bscv.settings import BuildSettings
from b2scvr.data.bscv.sources import list_sources
from b2scvr.ops.masks import damage_mask
from b2scvr.types import InputError, array_fields


@pytest.fixture
def copy(tmp_path, dataset):
    return shutil.copytree(dataset, tmp_path / "copy", symlinks=True)


def renumber(folder):
    for index, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / f"{index:05d}{path.suffix}")


def test_a_branch_as_built_needs_no_repair(dataset):
    branch = BscvBranch(dataset / "244096")
    assert branch.ids == ["frames", "video"] and len(branch) == 2
    for clip in branch:
        truth = decode(clip.files.clean_stream.read_bytes()).clip
        damaged = decode(clip.files.damaged_stream.read_bytes()).clip
        assert clip.repairs == () and not clip.missing.any() and len(clip) == 10
        assert np.array_equal(clip.clean, truth.frames) and np.array_equal(clip.damaged, damaged.frames)
        assert np.array_equal(clip.masks, [damage_mask(a, b) for a, b in zip(clip.damaged, clip.clean, strict=True)])
        assert clip.masks.any()
        parsed = clip.parsed()
        for name, array in array_fields(damaged).items():
            assert np.array_equal(array, getattr(parsed, name)), name
    assert np.array_equal(branch["video"].clean, branch[1].clean)


def test_clips_that_are_not_there(dataset, tmp_path):
    with pytest.raises(InputError, match="holds no clip"):
        BscvBranch(tmp_path)
    with pytest.raises(InputError, match="absent"):
        BscvBranch(dataset / "144096")["absent"]
    with pytest.raises(IndexError):
        BscvBranch(dataset / "144096")[2]


@pytest.mark.parametrize("whole", [False, True], ids=["a zip a clip", "one zip"])
def test_zips_by_other_published_names_give_the_same(tmp_path, dataset, whole):
    root = tmp_path / "144096"
    names = {"GT_JPEGImages": "JPEGImages", "BSC_JPEGImages": "BSCJPEGImages", "masks": "Annotations"}
    for ours, theirs in names.items():
        (root / theirs).mkdir(parents=True)
        for clip in ("frames", "video"):
            target = tmp_path / f"144096/{theirs}.zip" if whole else root / theirs / f"{clip}.zip"
            with zipfile.ZipFile(target, "a") as archive:
                for path in (dataset / "144096" / ours / clip).iterdir():
                    archive.write(path, f"{theirs}/{clip}/{path.name}" if whole else path.name)
    branch, expected = BscvBranch(root), BscvBranch(dataset / "144096")
    assert branch.ids == expected.ids
    for clip in branch:
        assert clip.repairs == ()
        for name in ("clean", "damaged", "masks"):
            assert np.array_equal(getattr(clip, name), getattr(expected[clip.id], name)), name
        with pytest.raises(InputError, match="no damaged stream"):
            clip.parsed()


def test_a_zip_data_set_of_our_own(tmp_path, footage):
    settings = BuildSettings(seed=5, gop=5, crf=12, zips=True)
    build([clip for clip in list_sources(footage) if clip.id == "video"], tmp_path, settings, ["144096"], workers=1)
    clip = BscvBranch(tmp_path / "144096")["video"]
    assert clip.repairs == ()
    exact = read(clip.files.damaged_stream)
    assert np.abs(clip.damaged.astype(int) - exact.frames).mean() < 4
    parsed = clip.parsed()
    assert np.array_equal(parsed.mv_past, exact.mv_past) and "JPEG" in parsed.notes[-1]


def test_a_dropped_picture_is_decoded_again_from_the_stream(copy, dataset):
    folder = copy / "144096" / "BSC_JPEGImages" / "video"
    (folder / "00004.png").unlink()
    renumber(folder)
    renumber(copy / "144096" / "BSC_JPEGImages" / "frames")
    clip, expected = BscvBranch(copy / "144096")["video"], BscvBranch(dataset / "144096")["video"]
    for name in ("clean", "damaged", "masks", "missing"):
        assert np.array_equal(getattr(clip, name), getattr(expected, name)), name
    assert clip.repairs == (
        "video: 9 damaged pictures for 10 clean ones: decoded from video_2.h264, 10 pictures, one for each access unit",
        "video: masks derived again (with the pictures)",
    )
    assert np.array_equal(clip.parsed().mv_past, expected.parsed().mv_past)


def test_without_the_stream_a_dropped_picture_leaves_its_place(copy, dataset):
    folder = copy / "144096" / "BSC_JPEGImages" / "video"
    (folder / "00004.png").unlink()
    renumber(folder)
    shutil.rmtree(copy / "144096" / "BSC_h264")
    clip, expected = BscvBranch(copy / "144096")["video"], BscvBranch(dataset / "144096")["video"]
    assert np.flatnonzero(clip.missing).tolist() == [4]
    others = np.arange(10) != 4
    assert np.array_equal(clip.damaged[others], expected.damaged[others])
    assert np.array_equal(clip.damaged[4], expected.damaged[3])
    assert np.array_equal(clip.masks[others], expected.masks[others])
    assert "aligned with the clean pictures by their content" in clip.repairs[0]
    assert "stands in at 1 of 10 places (4)" in clip.repairs[0]
    with pytest.raises(InputError, match="no damaged stream"):
        clip.parsed()


def test_a_gap_in_the_numbers_moves_nothing(copy, dataset):
    (copy / "144096" / "BSC_JPEGImages" / "video" / "00004.png").unlink()
    shutil.rmtree(copy / "144096" / "BSC_h264")
    clip, expected = BscvBranch(copy / "144096")["video"], BscvBranch(dataset / "144096")["video"]
    assert np.flatnonzero(clip.missing).tolist() == [4]
    assert np.array_equal(clip.damaged[5:], expected.damaged[5:])
    assert "the others stay at their numbers" in clip.repairs[0]


def test_as_many_pictures_that_show_other_moments_are_noticed(copy, dataset):
    """The ffmpeg command line drops a picture and repeats a neighbour later: counts agree, pictures do not."""
    folder = copy / "144096" / "BSC_JPEGImages" / "video"
    (folder / "00001.png").unlink()
    renumber(folder)
    shutil.copy(folder / "00008.png", folder / "00009.png")
    clip, expected = BscvBranch(copy / "144096")["video"], BscvBranch(dataset / "144096")["video"]
    assert np.array_equal(clip.damaged, expected.damaged) and np.array_equal(clip.masks, expected.masks)
    assert "show other moments than the clean ones: decoded from" in clip.repairs[0]
    assert BscvBranch(copy / "144096", check_content=False)["video"].repairs == ()


def test_masks_that_do_not_count_up_or_are_absent_are_derived(copy, dataset):
    (copy / "144096" / "masks" / "video" / "00009.png").unlink()
    shutil.rmtree(copy / "144096" / "masks" / "frames")
    branch, expected = BscvBranch(copy / "144096"), BscvBranch(dataset / "144096")
    for clip in branch:
        assert np.array_equal(clip.masks, expected[clip.id].masks)
    assert branch["video"].repairs == ("video: masks derived again (9 for 10 pictures)",)
    assert branch["frames"].repairs == ("frames: no masks there: derived from the difference of the pictures",)


def test_clean_pictures_are_put_right_by_their_stream(copy, dataset):
    (copy / "144096" / "GT_JPEGImages" / "video" / "00009.png").unlink()
    clip = BscvBranch(copy / "244096")["video"]
    assert np.array_equal(clip.clean, BscvBranch(dataset / "244096")["video"].clean)
    assert clip.repairs == ("video: 9 clean pictures for 10 in the clean stream: decoded again from video.h264",)
    shutil.rmtree(copy / "144096")
    with pytest.raises(InputError, match="no clean pictures"):
        BscvBranch(copy / "244096")["video"]


def test_pictures_that_cannot_be_read_are_named(copy):
    (copy / "144096" / "BSC_JPEGImages" / "video" / "00002.png").write_bytes(b"text")
    with pytest.raises(InputError, match=r"00002\.png is not a picture"):
        BscvBranch(copy / "144096")["video"]
    small = cv2.imread(str(copy / "144096" / "BSC_JPEGImages" / "frames" / "00000.png"))[:50]
    cv2.imwrite(str(copy / "144096" / "BSC_JPEGImages" / "frames" / "00003.png"), small)
    with pytest.raises(InputError, match=r"00003\.png is 128x50, others 128x96"):
        BscvBranch(copy / "144096")["frames"]
    (copy / "144096" / "BSC_JPEGImages" / "broken.zip").write_bytes(b"PK no zip")
    with pytest.raises(InputError, match=r"broken\.zip"):
        BscvBranch(copy / "144096")["broken"]


def test_published_masks_may_be_palette_pictures_or_jpeg(copy, dataset):
    expected = BscvBranch(dataset / "144096")["video"].masks
    folder = copy / "144096" / "masks" / "video"
    for path in sorted(folder.iterdir()):
        mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        path.unlink()
        cv2.imwrite(str(path.with_suffix(".jpg")), mask, [cv2.IMWRITE_JPEG_QUALITY, 95])
    found = BscvBranch(copy / "144096")["video"].masks
    assert (found != expected).mean() < 0.01
    for index, mask in enumerate(expected):
        (folder / f"{index:05d}.jpg").unlink()
        cv2.imwrite(str(folder / f"{index:05d}.png"), mask * 38)  # the grey of DAVIS's first object
    assert np.array_equal(BscvBranch(copy / "144096")["video"].masks, expected)


def test_a_damaged_stream_with_fewer_access_units_is_aligned(tmp_path, dataset, pictures):
    """A cut of the published generator can take a start code along: two slices become one."""
    root = tmp_path / "144096"
    for folder in ("GT_h264", "BSC_h264"):
        (root / folder).mkdir(parents=True)
    clean = encode_h264(pictures, gop=12, options={"bf": "0"})
    (root / "GT_h264" / "a.h264").write_bytes(clean)
    units = clean.split(b"\0\0\1A")  # P slices
    assert len(units) > 8
    (root / "BSC_h264" / "a_2.h264").write_bytes(b"\0\0\1A".join([*units[:5], units[5] + units[6], *units[7:]]))
    clip = BscvBranch(root)["a"]
    truth = decode(clean).clip.frames
    assert np.flatnonzero(clip.missing).tolist() == [6]
    assert np.array_equal(clip.clean, truth) and np.array_equal(clip.damaged[12:], truth[12:])
    assert clip.repairs[0] == (
        "a: decoded from a_2.h264, 23 pictures, one for each access unit; aligned by the bytes of the clean stream, "
        "the picture before stands in at 1 of 24 places (6)"
    )
    assert isinstance(clip.files.damaged_stream, Path) and len(clip.parsed()) == len(pictures) - 1
