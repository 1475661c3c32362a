import pytest

from b2scvr.engine.output import whole_file, whole_folder


def test_the_folder_is_there_only_at_the_end(tmp_path):
    target = tmp_path / "deep" / "out" / "a"
    with whole_folder(target) as folder:
        (folder / "file").write_text("x")
        assert not target.exists()
    assert [p.name for p in target.parent.iterdir()] == ["a"]
    assert (target / "file").read_text() == "x" and target.stat().st_mode & 0o700 == 0o700


def test_a_failure_leaves_nothing_and_keeps_what_was_there(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old").touch()
    for target in (tmp_path / "a", tmp_path / "deep" / "out" / "b"):
        with pytest.raises(KeyboardInterrupt), whole_folder(target) as folder:
            (folder / "half").touch()
            raise KeyboardInterrupt
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")) == ["a", "a/old"]


def test_earlier_results_are_replaced_whole(tmp_path):
    (tmp_path / "a" / "sub").mkdir(parents=True)
    (tmp_path / "a" / "old").touch()
    with whole_folder(tmp_path / "a") as folder:
        (folder / "new").touch()
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["new"]


def test_a_file_is_whole_or_as_it_was(tmp_path):
    target = tmp_path / "deep" / "table.md"
    for text in ("first", "second"):
        with whole_file(target) as path:
            path.write_text(text)
            assert path.suffix == ".md" and (text == "first") == (not target.exists())
        assert target.read_text() == text
    with pytest.raises(KeyboardInterrupt), whole_file(target) as path:
        path.write_text("half")
        raise KeyboardInterrupt
    assert target.read_text() == "second" and list(target.parent.iterdir()) == [target]
