"""Training logs: CSV tables and TensorBoard files that survive a resume, and times in words."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from b2scvr.write.png import write_picture

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Table:
    """A CSV file with one row a logged step; columns that come later are empty in the rows before."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, row: Mapping[str, float]) -> None:
        """Append a row."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not self.path.is_file() or self.path.stat().st_size == 0
        columns, rows = (list(row), []) if is_new else self._read()
        if late := [name for name in row if name not in columns]:
            columns += late
            self._write(columns, rows)
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, columns)
            if is_new:
                writer.writeheader()
            writer.writerow(
                {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()}
            )

    def forget_after(self, step: int) -> None:
        """Remove the rows after `step`: the run that wrote them was stopped before it saved."""
        if self.path.is_file():
            columns, rows = self._read()
            self._write(columns, [row for row in rows if int(row["step"]) <= step])

    def _write(self, columns: list[str], rows: list[dict[str, str]]) -> None:
        partial = self.path.with_name(f".{self.path.name}.part")
        with partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
        os.replace(partial, self.path)

    def _read(self) -> tuple[list[str], list[dict[str, str]]]:
        with self.path.open(newline="") as file:
            reader = csv.DictReader(file)
            return list(reader.fieldnames or ()), [
                row for row in reader if None not in row.values()
            ]  # a row may be cut


class TrainingLog:
    """What a stage writes while it trains, in `folder`:

    log.csv, validation.csv     one row a logged step, a validation
    pictures/step_*_*.png       validation samples
    tensorboard/                all of these as event files, unless switched off
    """

    def __init__(self, folder: Path, tensorboard: bool = True) -> None:
        self.folder = folder
        self.tables = {"train": Table(folder / "log.csv"), "validation": Table(folder / "validation.csv")}
        self._tensorboard = tensorboard
        self._events: SummaryWriter | None = None
        self._first_step = 0

    def add(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Log scalars after `step`; kind: "train" or "validation"."""
        self.tables[kind].add({"step": step, **values})
        if events := self._open_events():
            for name, value in values.items():
                events.add_scalar(f"{kind}/{name}", value, step)
            events.flush()

    def add_picture(self, step: int, number: int, picture: np.ndarray) -> None:
        """Write a picture uint8 [H, W, 3] of validation sample `number` after `step`."""
        folder = self.folder / "pictures"
        folder.mkdir(parents=True, exist_ok=True)
        write_picture(folder / f"step_{step:08d}_{number}.png", picture)
        if events := self._open_events():
            events.add_image(f"validation/{number}", picture, step, dataformats="HWC")

    def forget_after(self, step: int) -> None:
        """Remove what was logged after `step`."""
        for table in self.tables.values():
            table.forget_after(step)
        self._first_step = step + 1

    def close(self) -> None:
        """Finish the event file; a later entry opens another one."""
        if self._events is not None:
            self._events.close()
            self._events, self._first_step = None, 0

    def _open_events(self) -> SummaryWriter | None:
        if self._tensorboard and self._events is None:
            from torch.utils.tensorboard import SummaryWriter  # here: it takes a second, and not all who train want it

            # Events of the steps that a killed run did not save are told to be void.
            self._events = SummaryWriter(str(self.folder / "tensorboard"), purge_step=self._first_step or None)
        return self._events


def time_left(seconds: float) -> str:
    """Return a duration as h:mm:ss."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
