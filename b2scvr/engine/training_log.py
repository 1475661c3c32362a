"""Training logs: CSV tables that survive a resume, and times in words."""

from __future__ import annotations

import csv
import os
from pathlib import Path


class Table:
    """A CSV file with one row a logged step. The columns are those of the first row."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, row: dict[str, float]) -> None:
        """Append a row; ValueError when it has columns that the file does not have."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not self.path.is_file() or self.path.stat().st_size == 0
        columns = list(row) if is_new else self._read()[0]
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, columns)
            if is_new:
                writer.writeheader()
            writer.writerow(
                {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()}
            )

    def forget_after(self, step: int) -> None:
        """Remove the rows after `step`: the run that wrote them was stopped before it saved."""
        if not self.path.is_file():
            return
        columns, rows = self._read()
        partial = self.path.with_name(f".{self.path.name}.part")
        with partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(row for row in rows if int(row["step"]) <= step)
        os.replace(partial, self.path)

    def _read(self) -> tuple[list[str], list[dict[str, str]]]:
        with self.path.open(newline="") as file:
            reader = csv.DictReader(file)
            return list(reader.fieldnames or ()), [
                row for row in reader if None not in row.values()
            ]  # a row may be cut


def time_left(seconds: float) -> str:
    """Return a duration as h:mm:ss."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
