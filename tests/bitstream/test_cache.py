import dataclasses

import numpy as np
import pytest

from b2scvr.bitstream import cache, reader
from b2scvr.types import InputError, array_fields


@pytest.fixture(scope="module")
def clip(damaged_stream):
    return reader.decode(damaged_stream).clip


def test_a_clip_comes_back_as_it_was(tmp_path, clip):
    cache.save_clip(tmp_path / "clip.npz", clip)
    back = cache.load_clip(tmp_path / "clip.npz", source_sha256=clip.source_sha256)
    for name, array in array_fields(clip).items():
        other = getattr(back, name)
        assert np.array_equal(array, other) and array.dtype == other.dtype, name
    for f in dataclasses.fields(clip):
        if f.name not in (*array_fields(clip), "planes", "overwritten"):
            assert getattr(back, f.name) == getattr(clip, f.name), f.name
    assert clip.planes and back.planes.keys() == clip.planes.keys()
    assert all(np.array_equal(back.planes[i].u, clip.planes[i].u) for i in clip.planes)
    assert clip.overwritten and back.overwritten.keys() == clip.overwritten.keys()
    for slot, found in clip.overwritten.items():
        other = back.overwritten[slot]
        for name, array in (array_fields(found) | array_fields(found.planes)).items():
            again = getattr(other, name) if hasattr(other, name) else getattr(other.planes, name)
            assert np.array_equal(array, again) and array.dtype == again.dtype, name
        assert other.arrived is found.arrived and other.planes.interlaced is found.planes.interlaced
    assert [p.name for p in tmp_path.iterdir()] == ["clip.npz"]


def test_a_clip_of_another_source_or_parser_is_refused(tmp_path, clip):
    cache.save_clip(tmp_path / "clip.npz", clip)
    with pytest.raises(InputError, match="another file"):
        cache.load_clip(tmp_path / "clip.npz", source_sha256="0" * 64)
    cache.save_clip(tmp_path / "old.npz", dataclasses.replace(clip, parser_version=0))
    with pytest.raises(InputError, match="parser version 0"):
        cache.load_clip(tmp_path / "old.npz")


def test_what_is_no_clip_is_refused(tmp_path):
    with pytest.raises(InputError, match="not a parsed clip"):
        cache.load_clip(tmp_path / "missing.npz")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(InputError, match="not a parsed clip"):
        cache.load_clip(tmp_path / "text.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(InputError, match="not a parsed clip"):
        cache.load_clip(tmp_path / "other.npz")


def test_without_its_pictures_a_clip_is_small_and_wants_them_back(tmp_path, clip):
    path = tmp_path / "clip.npz"
    cache.save_clip(path, clip, pictures=False)
    assert path.stat().st_size < clip.frames.nbytes / 15  # a third of the clip was overwritten before an error
    without = dataclasses.replace(clip, overwritten={})
    cache.save_clip(tmp_path / "without.npz", without, pictures=False)
    assert (tmp_path / "without.npz").stat().st_size < clip.frames.nbytes / 50
    back = cache.load_clip(path, frames=clip.frames)
    assert back.planes == {} and np.array_equal(back.frames, clip.frames) and np.array_equal(back.mv_past, clip.mv_past)
    with pytest.raises(InputError, match="without its pictures"):
        cache.load_clip(path)
    with pytest.raises(InputError, match="does not belong"):
        cache.load_clip(path, frames=clip.frames[1:])
