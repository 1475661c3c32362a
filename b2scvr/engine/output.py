"""Output files and folders that are whole or absent."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FOLDER_MODE = 0o777  # less the umask: mkdtemp's own folders are private


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Give a new name with the suffix of `target`, beside it, to write to; when the block ends well it becomes `target`.

    Else nothing is left of it. A `target` that exists is replaced at that moment and no earlier. Folders above it are made.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.stem}.{os.getpid()}.part{target.suffix}")
    try:
        yield partial
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Give a new folder beside `target` to write into; when the block ends well it becomes `target`, else it is removed.

    A `target` that exists is replaced at that moment and no earlier. Folders above it are made, and removed again when
    nothing came of them.
    """
    made = [folder for folder in target.parents if not folder.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield partial
        partial.chmod(_FOLDER_MODE & ~_umask())
        _replace(partial, target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        for folder in made:
            if not any(folder.iterdir()):
                folder.rmdir()
        raise


def _replace(partial: Path, target: Path) -> None:
    if not target.exists():
        partial.rename(target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
    target.rename(old / target.name)
    partial.rename(target)
    shutil.rmtree(old)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
