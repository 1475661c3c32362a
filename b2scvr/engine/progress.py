"""Progress bars with the time left, on a terminal's standard error; silent anywhere else."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class StageProgress:
    """Shows the stage that one input is in. Use as a context manager; call it as `progress(stage, done, total)`.

    A total of 0 stands for a stage of unknown length.
    """

    def __init__(self, name: str, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self.name = name
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[steps]}"),
            TimeRemainingColumn(),
            TextColumn("left,"),
            TimeElapsedColumn(),
            TextColumn("gone"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._stage = ""
        self._task = self._bar.add_task(name, total=None, steps="")

    def __enter__(self) -> StageProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show `done` of `total` steps of `stage`."""
        if stage != self._stage:
            self._stage = stage
            self._bar.remove_task(self._task)
            self._task = self._bar.add_task(f"{self.name}: {stage}", total=None, steps="")
        if total:
            self._bar.update(self._task, completed=done, total=total, steps=f"{done}/{total}")


class CountProgress:
    """Shows how many of many things are done. Use as a context manager; call it as `progress(done, total, note)`.

    note: what else is to be said of the state, in a few words.
    """

    def __init__(self, name: str, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        columns = (
            TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
        )  # fmt: skip
        # The time left is judged by many things done: each takes its own time, and they come from several processes.
        self._bar = Progress(
            *columns, console=self.console, disable=not self.console.is_terminal, speed_estimate_period=600
        )
        self._task = self._bar.add_task(name, total=None, note="")

    def __enter__(self) -> CountProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Show `done` of `total`."""
        self._bar.update(self._task, completed=done, total=total, note=note)
