"""Training samples without end: every round treats each clip anew, made ahead by worker processes while training goes on.

step -> round = step // steps a round -> cache folder of that round (data.cache), samples drawn by step as from any other

What a round holds hangs on (seed, clip, round) alone, so a resumed run sees the same samples; rounds that are over are
removed, and made again should they be wanted again.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from b2scvr.bitstream.video import list_videos
from b2scvr.data.cache import CacheSettings, CleanClipJob, build_cache, write_json
from b2scvr.data.dataset import Batch, StepDataset
from b2scvr.types import InputError

COMPLETE = "complete.json"
AHEAD = 1  # rounds made before they are wanted
POLL_S = 0.1
logger = logging.getLogger(__name__)
MakeRound = Callable[[list[Path], int, Path, CacheSettings, int], None]


def make_round(clips: list[Path], number: int, folder: Path, settings: CacheSettings, workers: int) -> None:
    """Make the samples of round `number` of `clips` into `folder`, in `workers` processes; go on where it was stopped."""
    build_cache([CleanClipJob(clip, number) for clip in clips], folder, settings, workers)
    write_json(folder / COMPLETE, {"round": number})


@dataclass
class EndlessPairs:
    """The samples of all rounds of the clips under `footage`.

    folder: where the rounds lie while they are used; all processes share it. open_round: the folder of a round -> its
    samples. round_batches: batches taken from a round. workers: processes that make rounds, beside those that load
    batches. Raises InputError for a folder without clips.
    """

    footage: Path
    folder: Path
    open_round: Callable[[Path], StepDataset]
    settings: CacheSettings
    round_batches: int = 200
    workers: int = 2
    make: MakeRound = make_round

    def __post_init__(self) -> None:
        if self.round_batches < 1 or self.workers < 1:
            raise ValueError(
                f"round_batches and pair workers must be at least 1, got {self.round_batches}, {self.workers}"
            )
        self.clips = list_videos(self.footage)

    def __str__(self) -> str:
        return f"endless pairs of {len(self.clips)} clips"

    def batches(
        self, size: int, start: int, stop: int, rank: int = 0, world: int = 1, workers: int = 0, pin: bool = False
    ) -> Iterator[Batch]:
        """Yield this process's share of the batches `start` to `stop` - 1, of `size` samples for all processes together.

        The process of rank 0 has the rounds made. Raises InputError when a clip cannot be used.
        """
        length = self.round_batches
        maker = _Maker(self, start // length, -(-stop // length)) if rank == 0 else None
        try:
            for number in range(start // length, -(-stop // length)):
                data = self._await(number, maker)
                first, last = max(start, number * length), min(stop, (number + 1) * length)
                yield from data.batches(size, first, last, rank, world, workers, pin)
        finally:
            if maker is not None:
                maker.stop()

    def round_folder(self, number: int) -> Path:
        """Return the folder of round `number`."""
        return self.folder / f"round_{number:05d}"

    def _await(self, number: int, maker: _Maker | None) -> StepDataset:
        folder = self.round_folder(number)
        if maker is not None:
            maker.wanted(number)
        waited = False
        while not (folder / COMPLETE).is_file():
            if maker is not None and maker.error is not None:
                raise InputError(f"the samples of round {number} could not be made: {maker.error}") from maker.error
            if not waited:
                logger.info("waiting for round %d of the samples", number)
            waited = True
            time.sleep(POLL_S)
        return self.open_round(folder)


class _Maker(threading.Thread):
    """Has rounds `first` to `last` - 1 made, at most AHEAD of the one that is wanted, and removes older ones.

    A thread, as the work is done in processes; it ends with the program.
    """

    def __init__(self, pairs: EndlessPairs, first: int, last: int) -> None:
        super().__init__(name="pairs", daemon=True)
        self.pairs, self.first, self.last = pairs, first, last
        self.error: Exception | None = None
        self._wanted, self._stopped = first, False
        self._changed = threading.Condition()
        self.start()

    def wanted(self, number: int) -> None:
        """Say that training is in round `number`."""
        with self._changed:
            self._wanted = number
            self._changed.notify()

    def stop(self) -> None:
        """Make no further round."""
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def run(self) -> None:
        """See Thread."""
        try:
            for number in range(self.first, self.last):
                with self._changed:
                    while not self._stopped and number > self._wanted + AHEAD:
                        self._changed.wait()
                    wanted = self._wanted
                if self._stopped:
                    return
                self._remove_before(wanted)
                folder = self.pairs.round_folder(number)
                if not (folder / COMPLETE).is_file():
                    self.pairs.make(self.pairs.clips, number, folder, self.pairs.settings, self.pairs.workers)
        except Exception as error:  # told by the thread that waits for the samples
            self.error = error

    def _remove_before(self, number: int) -> None:
        for folder in self.pairs.folder.glob("round_*"):
            if int(folder.name.rpartition("_")[2]) < number:
                shutil.rmtree(folder)
