"""Runs side by side: where their settings differ, how far each came, and their curves in one picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tsn.train.fit.folder import read_config, read_history
from tsn.train.history import Row, best_row
from tsn.train.pictures import draw_comparison
from tsn.tsn_shared.console import say, table
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.fields import flag_of
from tsn.tsn_shared.files import alone, writing

NO_DIFFERENCE = frozenset({"run", "resume"})
"""Settings that differ between any two runs and say nothing."""


def compare(runs: Sequence[Path], out: Path) -> list[dict[str, Any]]:
    """Return what each run was and reached, and overlay their curves in `out`, a PNG.

    A run is its folder, split, epochs and clips, its best validation epoch, and those settings in which any two differ.
    """
    if out.suffix != ".png":
        raise SettingsError(f"--out {out}: it must end in .png")
    configs = [read_config(run) for run in runs]
    if young := [run for run in runs if not read_history(run)]:
        say(f"left out, no epoch is finished: {', '.join(map(str, young))}")
        configs = [config for config, run in zip(configs, runs, strict=True) if run not in young]
        runs = [run for run in runs if run not in young]
    if not runs:
        raise SettingsError("nothing to compare yet: no run has a finished epoch in metrics.jsonl")
    histories = [read_history(run) for run in runs]
    names = _names(runs)
    plain = [config.settings.plain() for config in configs]
    keys = dict.fromkeys(key for settings in plain for key in settings if key not in NO_DIFFERENCE)
    differing = [key for key in keys if any(settings.get(key) != plain[0].get(key) for settings in plain)]
    columns = []
    for run, config, history in zip(runs, configs, histories, strict=True):
        settings = config.settings.plain()
        columns.append(
            {
                "run": str(run),
                "split": config.settings.split,
                "protocol": f"val ({config.settings.segments} segments)",
                "train_clips": config.split.train,
                "test_clips": config.split.test,
                "settings": {key: settings.get(key) for key in differing},
                **_reached(history),
            }
        )
    way_out = "set another --out"
    with alone(out, way_out), writing(out, way_out):
        draw_comparison(dict(zip(names, histories, strict=True)), out)
    say(f"the curves: {out}")
    return columns


def side_by_side(columns: Sequence[dict[str, Any]]) -> str:
    """Return the runs as the columns of a table for a person."""
    headers = ["run", *_names([Path(column["run"]) for column in columns])]
    facts = ("split", "protocol", "train_clips", "test_clips")
    lines = [
        *((key.replace("_", " "), *(str(column[key]) for column in columns)) for key in facts),
        *((flag_of(key), *(_plain(column["settings"][key]) for column in columns)) for key in columns[0]["settings"]),
    ]
    for key, text, form in _FIGURES:
        lines.append((text, *("-" if column.get(key) is None else form.format(column[key]) for column in columns)))
    return table(headers, lines)


_FIGURES = (
    ("epochs", "epochs done", "{}"),
    ("best_epoch", "best epoch", "{}"),
    ("best_val_top1", "best val top-1", "{:.2%}"),
    ("best_val_top5", "  its top-5", "{:.2%}"),
    ("best_val_loss", "  its loss", "{:.4f}"),
    ("val_top1", "last val top-1", "{:.2%}"),
    ("train_top1", "last train top-1", "{:.2%}"),
    ("train_loss", "last train loss", "{:.4f}"),
    ("clips_per_second", "clips/s", "{:,.1f}"),
    ("seconds", "seconds trained", "{:,.0f}"),
)


def _reached(history: Sequence[Row]) -> dict[str, Any]:
    last = history[-1]
    seconds = sum(row.seconds for row in history)
    reached: dict[str, Any] = {
        "epochs": len(history),
        "val_top1": last.val_top1,
        "train_top1": last.train_top1,
        "train_loss": last.train_loss,
        "clips_per_second": sum(row.clips_per_second * row.seconds for row in history) / max(seconds, 1e-9),
        "seconds": seconds,
    }
    if best := best_row(history):
        reached |= {f"best_{key}": getattr(best, key) for key in ("epoch", "val_top1", "val_top5", "val_loss")}
    return reached


def _names(runs: Sequence[Path]) -> list[str]:
    """Return the runs' folder names, or their paths where two have the same name."""
    names = [run.resolve().name for run in runs]
    return names if len(set(names)) == len(names) else [str(run) for run in runs]


def _plain(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
