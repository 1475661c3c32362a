"""The cache: made by worker processes, resumed without doing work twice, refused when it is of something else."""

import json

import pytest

from b2scvr.bitstream.encode import encode_h264
from b2scvr.data import cache as cache_module
from b2scvr.data.cache import (
    CacheSettings,
    CleanClipJob,
    build_cache,
    clean_clip_jobs,
    read_index,
    run_job,
    write_index,
    write_json,
)
from b2scvr.data.sample import load_sample
from b2scvr.types import InputError


@pytest.fixture(scope="module")
def footage(tmp_path_factory, pictures):
    folder = tmp_path_factory.mktemp("footage")
    for name in ("a", "b"):
        (folder / f"{name}.h264").write_bytes(encode_h264(pictures[:20], crf=12))
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory, footage):
    folder = tmp_path_factory.mktemp("cache")
    seen = []
    entries = build_cache(
        clean_clip_jobs(footage, 1), folder, CacheSettings(), workers=1, progress=lambda *state: seen.append(state)
    )
    return folder, entries, seen


def test_a_cache_holds_its_index_and_samples(built):
    folder, entries, seen = built
    assert read_index(folder) == entries
    assert {entry.clip for entry in entries} == {"a.h264", "b.h264"}
    for entry in entries:
        sample = load_sample(folder / entry.file)
        assert sample.mask.shape == (entry.height, entry.width)
        assert sample.surroundings.broken == entry.broken
    assert seen[0] == (0, 2, 0) and seen[-1] == (2, 2, len(entries))
    assert not list(folder.rglob("*.part"))


def test_finished_jobs_are_not_done_again(built, footage, monkeypatch):
    folder, entries, _ = built

    def no_jobs(function, jobs, workers):
        assert list(jobs) == []
        return iter(())

    monkeypatch.setattr(cache_module, "run_jobs", no_jobs)
    assert build_cache(clean_clip_jobs(footage, 1), folder, CacheSettings()) == entries


def test_a_job_killed_before_its_record_is_done_again(tmp_path, footage, monkeypatch):
    for folder in ("jobs", "samples"):
        (tmp_path / folder).mkdir()

    def kill(path, content):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(cache_module, "write_json", kill)
        run_job(CleanClipJob(footage / "a.h264", 0), tmp_path, CacheSettings())
    assert write_index(tmp_path) == []
    with pytest.raises(InputError, match="index is empty"):
        read_index(tmp_path)
    count = run_job(CleanClipJob(footage / "a.h264", 0), tmp_path, CacheSettings())
    assert len(write_index(tmp_path)) == count > 0


def test_other_settings_need_another_folder(built, footage):
    with pytest.raises(ValueError, match="choose another folder"):
        build_cache(clean_clip_jobs(footage, 1), built[0], CacheSettings(seed=1))


def test_missing_footage_and_missing_cache_say_what_to_do(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        clean_clip_jobs(tmp_path / "absent", 1)
    with pytest.raises(InputError, match=r"tools/make_pairs\.py"):
        read_index(tmp_path)
    write_json(tmp_path / "index.json", {"version": 0, "samples": []})
    with pytest.raises(InputError, match="version 0"):
        read_index(tmp_path)


def test_json_is_whole_or_as_before(tmp_path):
    path = tmp_path / "file.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert len(list(tmp_path.iterdir())) == 1


def test_a_clip_that_cannot_be_used_is_told_when_the_others_are_done(tmp_path, footage):
    (tmp_path / "footage").mkdir()
    (tmp_path / "footage" / "text.mp4").write_text("no video")
    jobs = [*clean_clip_jobs(tmp_path / "footage", 1), *clean_clip_jobs(footage, 1)]
    with pytest.raises(InputError, match=r"text\.mp4"):
        build_cache(jobs, tmp_path / "cache", CacheSettings(), workers=1)
    assert {entry.clip for entry in read_index(tmp_path / "cache")} == {"a.h264", "b.h264"}
