"""The files of one recovered clip."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from b2scvr.bitstream.assembly import CodedClip
from b2scvr.bitstream.demux import ELEMENTARY
from b2scvr.bitstream.remux import RemuxError, remux
from b2scvr.engine.inputs import Job
from b2scvr.types import AccessUnitStatus, RecoveredClip
from b2scvr.write import Report, write_masks, write_pictures, write_report, write_video

STREAM_NAME = "repaired.h264"


def write_results(
    folder: Path, job: Job, coded: CodedClip, recovered: RecoveredClip, measured: dict[str, Any], pictures: bool
) -> None:
    """Write masks and report, and with `pictures` also frames, video and the repaired stream, into `folder`.

    measured: what `metrics.clip.compare` returned, for the report; empty without a truth. A container that does not
    take the repaired stream is a note of the report, the elementary stream is there all the same.
    """
    notes = list(recovered.notes)
    write_masks(folder / "masks", recovered.masks.masks)
    if pictures:
        write_pictures(folder / "frames", recovered.frames)
        write_video(folder / "recovered.mp4", recovered.frames, coded.clip.fps)
        try:
            notes += write_stream(folder, job.source, recovered, coded)
        except RemuxError as error:
            notes.append(
                f"the repaired stream could not be put back into its container ({error}); it is in {STREAM_NAME}"
            )
    size = sum(p.stat().st_size for p in folder.glob(STREAM_NAME))
    write_report(folder / "report.html", _report(job, coded, recovered, measured, pictures, size, tuple(notes)))


def write_stream(folder: Path, source: Path, recovered: RecoveredClip, coded: CodedClip) -> tuple[str, ...]:
    """Write the repaired stream, and a copy in the source's container if it had one; an untouched source as it is.

    Returns notes on what the copy lacks. Raises RemuxError when the container does not take it.
    """
    suffix = source.suffix.lower()
    contained = suffix not in ELEMENTARY and suffix != ""
    if recovered.mode == "untouched" and not coded.mended:
        name = STREAM_NAME if ELEMENTARY.get(suffix) == "h264" else f"repaired{suffix}"
        shutil.copyfile(source, folder / name)
        if contained and recovered.repaired and coded.clip.codec == "h264":
            (folder / STREAM_NAME).write_bytes(recovered.repaired)
    elif recovered.repaired is not None:
        (folder / STREAM_NAME).write_bytes(recovered.repaired)
        if contained:
            return remux(recovered.repaired, source, folder / f"repaired{suffix}")
    return ()


def _report(
    job: Job,
    coded: CodedClip,
    recovered: RecoveredClip,
    measured: dict[str, Any],
    pictures: bool,
    size: int,
    notes: tuple[str, ...],
) -> Report:
    clip = coded.clip
    height, width = clip.frames.shape[1:3]
    psnr = {side: measured.get("per_frame", {}).get(f"psnr_{side}") for side in ("decoded", "recovered")}
    return Report(
        title=job.source.name,
        subtitle=f"{clip.codec.upper()}, {width} x {height}, {len(clip)} pictures, {clip.fps:.6g} pictures a second",
        decoded=clip.frames,
        recovered=recovered.frames if pictures else None,
        masks=recovered.masks.masks,
        status=clip.status,
        picture_type=clip.picture_type,
        fps=clip.fps,
        restored=recovered.restored,
        facts=_facts(job, coded, recovered, measured, size),
        notes=notes,
        psnr=psnr if all(psnr.values()) else None,
    )


_MODES = {
    "splice": ("in the stream", "broken pictures restored, the decoder repaired the rest"),
    "drift": ("along the vectors", "broken pictures restored, their dependents corrected; the stream was not repaired"),
    "frames": ("picture by picture", "the stream itself was not repaired"),
    "untouched": ("nothing to do", "no damage was found; the input comes back as it was"),
    "detect": ("not repaired", "only the damage was looked for"),
}


def _facts(
    job: Job, coded: CodedClip, recovered: RecoveredClip, measured: dict[str, Any], size: int
) -> list[tuple[str, str, str]]:
    """The summary numbers: name, value, remark."""
    status = coded.clip.status
    count = {kind: int((status == kind).sum()) for kind in AccessUnitStatus}
    damaged = len(status) - count[AccessUnitStatus.INTACT]
    broken, dependent, lost = (
        count[s] for s in (AccessUnitStatus.BROKEN, AccessUnitStatus.DEPENDENT, AccessUnitStatus.LOST)
    )
    facts = [
        ("Damaged pictures", f"{damaged} of {len(status)}", f"{broken} broken, {dependent} dependent, {lost} lost"),
        ("Restored by the model", str(len(recovered.restored)), f"in {sum(recovered.seconds.values()):.1f} s"),
        ("Repaired", *_MODES[recovered.mode]),
    ]
    if size:
        before = job.source.stat().st_size
        facts.append(
            ("File", f"{_megabytes(size)}", f"{size / before:.2f} times the damaged one, {_megabytes(before)}")
        )
    if "psnr" in measured:
        in_damaged = measured["psnr"]["damaged"]
        if in_damaged["decoded"] is not None:
            gain = in_damaged["recovered"] - in_damaged["decoded"]
            remark = f"{in_damaged['decoded']:.2f} to {in_damaged['recovered']:.2f} dB in the damaged pictures"
            facts.append(("PSNR", f"{gain:+.2f} dB", remark))
    if "iou" in measured:
        remark = f"precision {measured['precision']:.2f}, recall {measured['recall']:.2f}"
        facts.append(("Mask IoU", f"{measured['iou']:.2f}", remark))
    return facts


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.2f} MB"
