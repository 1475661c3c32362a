import numpy as np
import pytest

from b2scvr.bitstream import reader
from b2scvr.bitstream.parts import CodedFile
from b2scvr.engine.inputs import (
    GivenMasks,
    Job,
    UsageError,
    belonging_to,
    list_jobs,
    load_first_mask,
    open_truth,
)
from b2scvr.types import InputError
from b2scvr.write import write_masks, write_pictures


def test_files_and_folders_become_jobs(tmp_path):
    for name in ("b.mp4", "a.h264", "README.md", "c.265"):
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    jobs, problems = list_jobs([tmp_path / "odd.bin", tmp_path, tmp_path / "empty"], tmp_path / "out")
    assert [job.source.name for job in jobs] == ["odd.bin", "a.h264", "b.mp4", "c.265"]
    assert jobs[1].target == tmp_path / "out" / "a" and jobs[1].name == "a"
    assert len(problems) == 1 and "empty" in problems[0]


def test_the_same_input_twice_is_one_job_but_two_with_one_name_are_refused(tmp_path):
    assert len(list_jobs([tmp_path / "a.h264", tmp_path / "a.h264"], tmp_path)[0]) == 1
    with pytest.raises(UsageError, match="both write to"):
        list_jobs([tmp_path / "a.h264", tmp_path / "a.mp4"], tmp_path)


def test_what_belongs_to_an_input(tmp_path):
    job = Job(tmp_path / "a.h264", tmp_path / "out" / "a")
    write_pictures(tmp_path / "frames", np.zeros((1, 8, 8, 3), np.uint8))
    (tmp_path / "clean.h264").touch()
    assert belonging_to(job, tmp_path / "clean.h264", alone=True) == tmp_path / "clean.h264"
    assert belonging_to(job, tmp_path / "frames", alone=True) == tmp_path / "frames"
    with pytest.raises(InputError, match="several inputs"):
        belonging_to(job, tmp_path / "clean.h264", alone=False)
    with pytest.raises(InputError, match="no such file"):
        belonging_to(job, tmp_path / "nowhere", alone=True)
    (tmp_path / "truth" / "a").mkdir(parents=True)
    (tmp_path / "truth" / "b.mp4").touch()
    assert belonging_to(job, tmp_path / "truth", alone=False) == tmp_path / "truth" / "a"
    other = Job(tmp_path / "b.h264", tmp_path / "out" / "b")
    assert belonging_to(other, tmp_path / "truth", alone=False) == tmp_path / "truth" / "b.mp4"
    damaged = Job(tmp_path / "b_2.h264", tmp_path / "out" / "b_2")
    assert belonging_to(damaged, tmp_path / "truth", alone=False) == tmp_path / "truth" / "b.mp4", "as BSCV names them"
    with pytest.raises(InputError, match="an entry 'c'"):
        belonging_to(Job(tmp_path / "c.h264", tmp_path / "c"), tmp_path / "truth", alone=False)


@pytest.fixture
def coded_file(tmp_path):
    """Makes a CodedFile of a stream."""

    def make(stream):
        path = tmp_path / "input.h264"
        path.write_bytes(stream)
        return CodedFile(path)

    return make


def frames_of(source, parts):
    return np.concatenate([source.of(part) for part in parts])


def test_truth_and_masks_come_part_by_part(tmp_path, coded_file, clean_stream):
    file = coded_file(clean_stream)
    whole = file.whole()
    frames = whole.coded.clip.frames
    (tmp_path / "clean.h264").write_bytes(clean_stream)
    write_pictures(tmp_path / "frames", frames)
    masks = np.zeros(frames.shape[:3], np.uint8)
    masks[np.arange(24), np.arange(24)] = 1
    write_masks(tmp_path / "masks", masks)
    for parts in ([whole], list(file.parts(1))):
        for path in (tmp_path / "clean.h264", tmp_path / "frames"):
            assert np.array_equal(frames_of(open_truth(path, file), parts), frames)
        given = GivenMasks(tmp_path / "masks", file)
        for part in parts:
            assert np.array_equal(given.of(part), masks[part.start :][: len(part.coded.clip)])
        given.require_marks(3)


def test_truth_must_fit_the_input(tmp_path, coded_file, clean_stream):
    file = coded_file(clean_stream)
    write_pictures(tmp_path / "short", np.zeros((5, 96, 128, 3), np.uint8))
    with pytest.raises(InputError, match="holds 5 pictures, the input has 24"):
        open_truth(tmp_path / "short", file)
    write_pictures(tmp_path / "small", np.zeros((24, 48, 64, 3), np.uint8))
    with pytest.raises(InputError, match="is of 64x48 pixels, the input of 128x96"):
        open_truth(tmp_path / "small", file).of(file.whole())
    (tmp_path / "few.h264").write_bytes(b"".join(file.units[:16]))
    with pytest.raises(InputError, match="holds 16 pictures, the input has 24"):
        open_truth(tmp_path / "few.h264", file)


def test_truth_is_that_of_the_access_units_that_are_left(tmp_path, coded_file, clean_stream):
    whole = reader.decode(clean_stream)
    (tmp_path / "clean.h264").write_bytes(clean_stream)
    units = whole.access_units
    left = coded_file(b"".join(units[:6] + units[7:]))
    gone = int(np.flatnonzero(whole.clip.decode_index == 6)[0])
    for parts in ([left.whole()], left.parts(1)):
        truth = open_truth(tmp_path / "clean.h264", left)
        assert np.array_equal(frames_of(truth, parts), np.delete(whole.clip.frames, gone, axis=0))
    write_pictures(tmp_path / "frames", whole.clip.frames)
    with pytest.raises(InputError, match="holds 24 pictures"):  # pictures alone do not tell which are left
        open_truth(tmp_path / "frames", left)


def test_masks_of_another_size_number_or_kind_and_empty_ones_are_told_apart(tmp_path, coded_file, damaged_stream):
    file = coded_file(damaged_stream)
    part = file.whole()
    shape = part.coded.clip.frames.shape[:3]
    write_masks(tmp_path / "small", np.ones((shape[0], 48, 64), np.uint8))
    write_masks(tmp_path / "few", np.ones((3, *shape[1:]), np.uint8))
    write_masks(tmp_path / "empty", np.zeros(shape, np.uint8))
    write_pictures(tmp_path / "ones", np.ones((*shape, 3), np.uint8))
    for name, message in (
        ("small", "is of 64x48 pixels, the input of 128x96"),
        ("few", "holds 3 pictures, the input has 24"),
        ("empty", "its 24 masks mark nothing, the input has 7 damaged pictures"),
        ("ones", "masks of samples up to 1; damaged is 255"),
    ):
        with pytest.raises(InputError, match=message):
            given = GivenMasks(tmp_path / name, file)
            given.of(part)
            given.require_marks(7)
    given = GivenMasks(tmp_path / "empty", file)
    given.require_marks(0)


def test_a_first_mask_of_another_size_names_its_file(tmp_path, coded_file, damaged_stream):
    part = coded_file(damaged_stream).whole()
    write_masks(tmp_path / "fits", np.ones((1, *part.coded.clip.frames.shape[1:3]), np.uint8))
    assert load_first_mask(tmp_path / "fits", 24).fitting(part) is part
    write_masks(tmp_path / "small", np.ones((1, 48, 64), np.uint8))
    with pytest.raises(InputError, match=r"small/00000\.png: is of 64x48 pixels, the input of 128x96"):
        load_first_mask(tmp_path / "small", 24).fitting(part)


def test_the_first_mask_is_a_numbered_picture_or_the_first_of_a_folder_that_marks_anything(tmp_path):
    masks = np.zeros((24, 96, 128), np.uint8)
    masks[7:, 10:20] = 1
    write_masks(tmp_path / "masks", masks)
    for path in (tmp_path / "masks", tmp_path / "masks" / "00007.png"):
        index, mask = load_first_mask(path, 24).first_mask
        assert index == 7 and np.array_equal(mask, masks[7])
    with pytest.raises(InputError, match="marks anything"):
        load_first_mask(tmp_path / "masks" / "00000.png", 24)
    (tmp_path / "masks" / "00007.png").rename(tmp_path / "first.png")
    with pytest.raises(InputError, match="number of one of 24 pictures"):
        load_first_mask(tmp_path / "first.png", 24)
