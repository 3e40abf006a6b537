"""Runs side by side: where their settings differ, how far each came, and their curves in one picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tsn.train.fit.folder import Config, read_config, read_history
from tsn.train.history import Row, best_row
from tsn.train.pictures import draw_comparison
from tsn.tsn_shared.console import say, table
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.fields import flag_of
from tsn.tsn_shared.files import alone, writing

NO_DIFFERENCE = frozenset({"run", "resume"})
"""Settings that differ between any two runs and say nothing."""

BEST = ("epoch", "val_top1", "val_top5", "val_mean_class_accuracy", "val_loss")
"""Figures of the best epoch that are shown."""

RUNS_A_TABLE = 3
"""More do not fit 80 columns."""


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """What a run was and reached; `settings` are those in which any two of the compared runs differ.

    It validated on its split's val clips, on the test clips where there are none.

    Figures without more words are the last epoch's, `clips_per_second` and `seconds` those of all epochs. `best` is the
    epoch of the highest validation accuracy, None where none was validated.
    """

    run: Path
    split: str
    protocol: str
    train_clips: int
    val_clips: int
    test_clips: int
    settings: dict[str, object]
    epochs: int
    val_top1: float | None
    val_mean_class_accuracy: float | None
    train_top1: float
    train_loss: float
    clips_per_second: float
    seconds: float
    best: Row | None

    @property
    def validated_on(self) -> str:
        """How many clips of which subset it validated on."""
        return f"{self.val_clips} val clips" if self.val_clips else f"{self.test_clips} test clips"

    def plain(self) -> dict[str, object]:
        """Return it by name, as `--json` prints it."""
        values: dict[str, object] = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "best"}
        best = {f"best_{name}": getattr(self.best, name) for name in BEST} if self.best is not None else {}
        return values | {"run": str(self.run)} | best


def compare(runs: Sequence[Path], out: Path) -> list[RunSummary]:
    """Return what each run was and reached, and overlay their curves in `out`, a PNG.

    Runs without a finished epoch are left out, which is said; SettingsError where no other is there.
    """
    if out.suffix != ".png":
        raise SettingsError(f"--out {out}: it must end in .png")
    configs = {run: read_config(run) for run in runs}
    histories = {run: read_history(run) for run in runs}
    if unfinished := [run for run, history in histories.items() if not history]:
        say(f"left out, no epoch is finished: {', '.join(map(str, unfinished))}")
    runs = [run for run in runs if histories[run]]
    if not runs:
        raise SettingsError("nothing to compare yet: no run has a finished epoch in metrics.jsonl")
    settings = {run: configs[run].settings.plain() for run in runs}
    differing = [
        name
        for name in settings[runs[0]]
        if name not in NO_DIFFERENCE and any(settings[run][name] != settings[runs[0]][name] for run in runs)
    ]
    way_out = "set another --out"
    with alone(out, way_out), writing(out, way_out):
        draw_comparison(dict(zip(_names(runs), (histories[run] for run in runs), strict=True)), out)
    say(f"the curves: {out}")
    return [
        _summary(run, configs[run], histories[run], {name: settings[run][name] for name in differing}) for run in runs
    ]


def _summary(run: Path, config: Config, history: Sequence[Row], settings: dict[str, object]) -> RunSummary:
    last, seconds = history[-1], sum(row.seconds for row in history)
    return RunSummary(
        run=run,
        split=config.settings.split,
        protocol=f"val ({config.settings.segments} segments)",
        train_clips=config.split.train,
        val_clips=config.split.val,
        test_clips=config.split.test,
        settings=settings,
        epochs=len(history),
        val_top1=last.val_top1,
        val_mean_class_accuracy=last.val_mean_class_accuracy,
        train_top1=last.train_top1,
        train_loss=last.train_loss,
        clips_per_second=sum(row.clips_per_second * row.seconds for row in history) / max(seconds, 1e-9),
        seconds=seconds,
        best=best_row(history),
    )


def side_by_side(summaries: Sequence[RunSummary]) -> str:
    """Return the runs as the columns of a table for a person, of several tables where they are many."""
    headers = ["run", *_names([summary.run for summary in summaries])]
    plain = [summary.plain() for summary in summaries]
    lines = [
        *((name.replace("_", " "), *(getattr(each, name) for each in summaries)) for name in _FACTS),
        *((flag_of(name), *(_shown(each.settings[name]) for each in summaries)) for name in summaries[0].settings),
    ]
    for name, text, form in _FIGURES:
        if any(values.get(name) is not None for values in plain):
            lines.append((text, *("-" if values.get(name) is None else form.format(values[name]) for values in plain)))
    starts = range(1, len(headers), RUNS_A_TABLE)
    tables = [[[row[0], *row[start : start + RUNS_A_TABLE]] for row in (headers, *lines)] for start in starts]
    return "\n\n".join(table(top, rows) for top, *rows in tables)


_FACTS = ("split", "protocol", "train_clips", "validated_on")
_FIGURES = (
    ("epochs", "epochs done", "{}"),
    ("best_epoch", "best epoch", "{}"),
    ("best_val_top1", "best val top-1", "{:.2%}"),
    ("best_val_top5", "  its top-5", "{:.2%}"),
    ("best_val_mean_class_accuracy", "  per-class mean", "{:.2%}"),
    ("best_val_loss", "  its loss", "{:.4f}"),
    ("val_top1", "last val top-1", "{:.2%}"),
    ("val_mean_class_accuracy", "  per-class mean", "{:.2%}"),
    ("train_top1", "last train top-1", "{:.2%}"),
    ("train_loss", "last train loss", "{:.4f}"),
    ("clips_per_second", "clips/s", "{:,.1f}"),
    ("seconds", "seconds trained", "{:,.0f}"),
)


def _names(runs: Sequence[Path]) -> list[str]:
    """Return the runs' folder names, or their paths where two have the same name."""
    names = [run.resolve().name for run in runs]
    return names if len(set(names)) == len(names) else [str(run) for run in runs]


def _shown(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
