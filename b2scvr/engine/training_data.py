"""What a stage is trained on and judged by: cached samples, or pairs without end."""

from __future__ import annotations

from pathlib import Path

from b2scvr.data.cache import CacheSettings
from b2scvr.data.dataset import StepDataset, View, whole
from b2scvr.data.endless import EndlessPairs
from b2scvr.data.window_dataset import WINDOWS, MixedDataset, make_dataset
from b2scvr.engine.settings import StageSettings, TrainSettings


def make_data(
    run: TrainSettings, stage: str, settings: StageSettings
) -> tuple[StepDataset | EndlessPairs, StepDataset | None]:
    """Return the training samples of a stage and those of validation, if there are any.

    Several cache folders are mixed. Raises InputError for folders that are absent, empty, or hold nothing that the stage
    can use.
    """

    def opened(cache: str | Path, view: View) -> StepDataset:
        return make_dataset(cache, view, settings.samples, settings.window_shape, run.seed)

    validation = opened(run.validation, whole(settings.view)) if run.validation else None
    if run.footage is None:
        folders = (run.data,) if isinstance(run.data, str) else run.data
        sets = [opened(folder, settings.view) for folder in folders]
        return sets[0] if len(sets) == 1 else MixedDataset(sets), validation
    pairs = EndlessPairs(
        Path(run.footage),
        Path(run.work_dir) / stage / "pairs",
        lambda folder: opened(folder, settings.view),
        CacheSettings(
            run.seed,
            run.dependents,
            WINDOWS in settings.samples,
            dict(run.damage),
            run.moving_camera,
            run.passes,
            dict(run.encoder),
        ),
        run.round_batches,
        run.pair_workers,
    )
    return pairs, validation
