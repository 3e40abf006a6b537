"""What folders hold, runs among them (info): a run's network, what it takes of a picture, and how far it came."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tsn.pipeline import info as data
from tsn.train.fit.folder import CONFIG, LAST, read_config, read_history
from tsn.train.history import best_row
from tsn.tsn_shared.console import table


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """A run: pictures `input_size` pixels high and wide, normalised by `mean` and `std`, `num_segments` of them a clip.

    `epochs` are done of `num_epochs`; `saved_step` is the step of the newest checkpoint of a run that is not finished,
    maybe in mid-epoch; the best and its top-1 are None where none was validated.
    """

    run: str
    model: str
    shift: bool
    input_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    num_segments: int
    classes: int
    split: str
    epochs: int
    num_epochs: int
    saved_step: int | None
    best_epoch: int | None
    best_val_top1: float | None


def run_info(run: Path) -> RunInfo:
    """Read what a run folder says of itself; errors are those of `read_config` and `read_history`."""
    config, history = read_config(run), read_history(run)
    settings, best = config.settings, best_row(history)
    return RunInfo(
        run=str(run),
        model=settings.model,
        shift=settings.shift,
        input_size=settings.input_pixels,
        mean=settings.normalisation.mean,
        std=settings.normalisation.std,
        num_segments=settings.segments,
        classes=len(config.classes),
        split=settings.split,
        epochs=len(history),
        num_epochs=settings.num_epochs,
        saved_step=_saved_step(run) if len(history) < settings.num_epochs else None,
        best_epoch=None if best is None else best.epoch,
        best_val_top1=None if best is None else best.val_top1,
    )


def _saved_step(run: Path) -> int | None:
    """Read where a run would go on; it loads torch, which takes seconds, where there is a checkpoint alone."""
    if not (run / "checkpoints" / LAST).exists():
        return None
    from tsn.train.fit.checkpoint import saved_step

    return saved_step(run / "checkpoints")


def info(paths: Sequence[Path]) -> dict[str, object]:
    """Count what folders of data hold, as `tsn.pipeline.info`, and add the `runs`."""
    runs, others = _apart(paths)
    return {**data.info(others), "runs": [asdict(run_info(run)) for run in runs]}


def info_text(paths: Sequence[Path]) -> str:
    """Return the same for people."""
    runs, others = _apart(paths)
    parts = [data.info_text(others)] if others else []
    return "\n\n".join([*parts, *(_shown(run_info(run)) for run in runs)])


def _apart(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    runs = [path for path in paths if (path / CONFIG).is_file()]
    return runs, [path for path in paths if path not in runs]


def _shown(run: RunInfo) -> str:
    best = "-" if run.best_val_top1 is None else f"{run.best_val_top1:.2%} top-1 in epoch {run.best_epoch}"
    return table(
        ["run", run.run],
        [
            ("model", run.model + " with --shift" * run.shift),
            ("input size", run.input_size),
            ("mean", ", ".join(f"{value:g}" for value in run.mean)),
            ("std", ", ".join(f"{value:g}" for value in run.std)),
            ("segments", run.num_segments),
            ("classes", run.classes),
            ("split", run.split),
            ("epochs", f"{run.epochs} of {run.num_epochs}"),
            *([] if run.saved_step is None else [("saved at step", run.saved_step)]),
            ("best", best),
        ],
    )
