"""The folder of one recovered file, written part by part."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from b2scvr.bitstream.access_units import split_access_units
from b2scvr.bitstream.demux import ELEMENTARY
from b2scvr.bitstream.levels import level_notes
from b2scvr.bitstream.part import Part
from b2scvr.bitstream.parts import CodedFile
from b2scvr.bitstream.remux import RemuxError, remux
from b2scvr.types import AccessUnitStatus, RecoveredClip
from b2scvr.write import Filmstrip, Report, VideoWriter, write_masks, write_pictures, write_report

STREAM_NAME = "repaired.h264"
_MOST_NOTES = 20
_MODES = {  # a file counts as the first of these that one of its parts was recovered in
    "frames": ("picture by picture", "the stream itself was not repaired"),
    "drift": ("along the vectors", "broken pictures restored, their dependents corrected; the stream was not repaired"),
    "splice": ("in the stream", "broken pictures restored, the decoder repaired the rest"),
    "untouched": ("nothing to do", "no damage was found; the input comes back as it was"),
    "detect": ("not repaired", "only the damage was looked for"),
}


class Results:
    """Takes up a recovered file part by part, and writes masks and report, with `pictures` also frames, video and stream.

    A context manager, for what is open meanwhile. folder: is there already.
    """

    def __init__(self, folder: Path, file: CodedFile, pictures: bool) -> None:
        self.folder, self.file, self.pictures = folder, file, pictures
        self._film = Filmstrip(len(file))
        self._video: VideoWriter | None = None
        self._status, self._types = np.zeros(0, np.uint8), np.zeros(0, np.uint8)
        self._restored: list[int] = []
        self._marked = 0  # pictures with a mask that is not empty
        self._modes: dict[int, str] = {}  # of each part, by its first picture
        self._notes: dict[int, tuple[str, ...]] = {}  # likewise
        self._is_mended = False
        self._subtitle, self._fps = "", 0.0

    def __enter__(self) -> Results:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._video is not None:
            self._video.__exit__(*error)

    def add(self, part: Part, recovered: RecoveredClip) -> None:
        """Take up the own pictures of a part, the next ones of the file. recovered: all that the part was read with."""
        clip = part.coded.clip
        decoded, masks, status = (part.take(one) for one in (clip.frames, recovered.masks.masks, clip.status))
        frames = part.take(recovered.frames) if self.pictures else None
        writers: list[Callable[[], None]] = [
            partial(self._film.add, decoded, frames, masks, status != AccessUnitStatus.INTACT),
            partial(write_masks, self.folder / "masks", masks, part.first),
        ]
        if frames is not None:
            writers += [
                partial(write_pictures, self.folder / "frames", frames, part.first),
                partial(self._add_to_video, frames, clip.fps),
                partial(self._add_to_stream, part, recovered),
            ]
        with ThreadPoolExecutor(2) as pool:  # pictures take as long as all else
            for written in [pool.submit(write) for write in writers]:
                written.result()
        self._status = np.append(self._status, status)
        self._types = np.append(self._types, part.take(clip.picture_type))
        self._restored += [part.start + slot for slot in recovered.restored if part.own.start <= slot < part.own.stop]
        self._marked += int(masks.any(axis=(1, 2)).sum())
        self._modes[part.first], self._notes[part.first] = recovered.mode, recovered.notes
        self._is_mended |= part.coded.mended
        height, width = decoded.shape[1:3]
        self._subtitle = (
            f"{clip.codec.upper()}, {width} x {height}, {len(self.file)} pictures, {clip.fps:.6g} pictures a second"
        )
        self._fps = clip.fps

    def finish(self, measured: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Write what is about the whole file, and return its metrics.

        measured: summary of a `Comparison`, empty without a truth; seconds: what restoring took.
        """
        notes = [*joined_notes(self._notes, len(self.file)), *(self._finish_stream() if self.pictures else ())]
        found = count_pictures(self._status, self._marked) | {"mode": self._mode, "restored": self._restored} | measured
        found["notes"] = [*notes, *measured.get("notes", ())]
        write_report(self.folder / "report.html", self._report(found, seconds), self._film)
        return found

    @property
    def damaged(self) -> int:
        """How many pictures so far are damaged."""
        return int((self._status != AccessUnitStatus.INTACT).sum())

    @property
    def _mode(self) -> str:
        return min(self._modes.values(), key=list(_MODES).index)

    def _add_to_video(self, frames: np.ndarray, fps: float) -> None:
        if self._video is None:
            self._video = VideoWriter(self.folder / "recovered.mp4", fps)
        for picture in frames:
            self._video.add(picture)

    def _add_to_stream(self, part: Part, recovered: RecoveredClip) -> None:
        """Append a part to the repaired stream: as it came where it was not repaired in the stream."""
        if part.coded.clip.codec == "h264":
            repaired = recovered.repaired if recovered.mode == "splice" else None
            with (self.folder / STREAM_NAME).open("ab") as stream:
                stream.write(part.own_stream(repaired, recovered.added))

    def _finish_stream(self) -> list[str]:
        """Leave the repaired stream, and a copy in the container if there was one; an untouched source as it is.

        Returns notes on what is lacking.
        """
        source, stream = self.file.path, self.folder / STREAM_NAME
        suffix = source.suffix.lower()
        contained = suffix not in ELEMENTARY and suffix != ""
        modes = set(self._modes.values())
        if modes == {"untouched"} and not self._is_mended:
            name = STREAM_NAME if ELEMENTARY.get(suffix) == "h264" else f"repaired{suffix}"
            shutil.copyfile(source, self.folder / name)
            return []
        if "splice" not in modes and modes != {"untouched"}:
            stream.unlink(missing_ok=True)
            return []
        repaired = stream.read_bytes()
        notes = level_notes(self.file.units, split_access_units(repaired)[0], self._fps)
        if self._mode in ("frames", "drift"):
            notes.append(f"{STREAM_NAME} is repaired where mode splice could be used; elsewhere it is as it came")
        if contained:
            try:
                notes += remux(repaired, source, self.folder / f"repaired{suffix}")
            except RemuxError as error:
                notes.append(
                    f"the repaired stream could not be put back into its container ({error}); it is in {STREAM_NAME}"
                )
        return notes

    def _report(self, found: dict[str, Any], seconds: float) -> Report:
        psnr = {side: found.get("per_frame", {}).get(f"psnr_{side}") for side in ("decoded", "recovered")}
        return Report(
            title=self.file.path.name,
            subtitle=self._subtitle,
            status=self._status,
            picture_type=self._types,
            fps=self._fps,
            restored=tuple(self._restored),
            facts=self._facts(found, seconds),
            notes=tuple(found["notes"]),
            psnr=psnr if all(psnr.values()) else None,
        )

    def _facts(self, found: dict[str, Any], seconds: float) -> list[tuple[str, str, str]]:
        """The summary numbers: name, value, remark."""
        broken, dependent, lost = (found[f"{kind}_access_units"] for kind in ("broken", "dependent", "lost"))
        facts = [
            (
                "Damaged pictures",
                f"{self.damaged} of {len(self.file)}",
                f"{broken} broken, {dependent} dependent, {lost} lost",
            ),
            ("Restored by the model", str(len(self._restored)), f"in {seconds:.1f} s"),
            ("Repaired", *_MODES[self._mode]),
        ]
        stream = self.folder / STREAM_NAME
        if stream.exists():
            size, before = stream.stat().st_size, self.file.path.stat().st_size
            facts.append(
                ("File", f"{_megabytes(size)}", f"{size / before:.2f} times the damaged one, {_megabytes(before)}")
            )
        if "psnr" in found:
            in_damaged = found["psnr"]["damaged"]
            if in_damaged["decoded"] is not None:
                gain = in_damaged["recovered"] - in_damaged["decoded"]
                remark = f"{in_damaged['decoded']:.2f} to {in_damaged['recovered']:.2f} dB in the damaged pictures"
                facts.append(("PSNR", f"{gain:+.2f} dB", remark))
        if "iou" in found:
            remark = f"precision {found['precision']:.2f}, recall {found['recall']:.2f}"
            facts.append(("Mask IoU", f"{found['iou']:.2f}", remark))
        return facts


def count_pictures(status: np.ndarray, marked: int | None) -> dict[str, Any]:
    """Return the numbers of pictures for metrics.json. status: uint8 [T]; marked: pictures whose mask marks anything."""
    counts = Counter(status.tolist())
    kinds = (AccessUnitStatus.LOST, AccessUnitStatus.BROKEN, AccessUnitStatus.DEPENDENT)
    found = {f"{kind.name.lower()}_access_units": counts[kind] for kind in kinds}
    return {"frames": len(status), **found, "damaged_frames_detected": marked}


def joined_notes(notes: dict[int, tuple[str, ...]], count: int) -> list[str]:
    """Return the notes on the parts of a file of `count` pictures, given by their first picture, as notes on the file.

    What is said of all parts is said once; else the pictures are named, a few times.
    """
    said = Counter(note for of_part in notes.values() for note in dict.fromkeys(of_part))
    out = dict.fromkeys(note for note, times in said.items() if times == len(notes))
    ends = [*list(notes)[1:], count]
    for (first, of_part), end in zip(notes.items(), ends, strict=True):
        out |= dict.fromkeys(f"pictures {first} to {end - 1}: {note}" for note in of_part if note not in out)
    told = list(out)
    return [*told[:_MOST_NOTES], f"and {len(told) - _MOST_NOTES} more notes"] if len(told) > _MOST_NOTES else told


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.2f} MB"
