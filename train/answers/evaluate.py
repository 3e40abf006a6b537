"""Evaluation of runs on the test clips of their splits: figures, tables, pictures; also of several runs together."""

import csv
import io
import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from tsn.train.answers.clip_values import PROBABILITIES, write_clip_values
from tsn.train.answers.figures import Figures, MeanFigures, percent
from tsn.train.answers.passes import ScoredClips, plan_pass, run_pass
from tsn.train.answers.trained import learned_from, load_trained
from tsn.train.metrics import TOP, ClassMetrics, Metrics, class_metrics, confusion, interval, metrics_of
from tsn.train.pictures import draw_confusion, draw_per_class
from tsn.train.ranks.devices import count_gpus
from tsn.tsn_shared.console import counted, json_text, say, table
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.files import locked, write_text, writing
from tsn.tsn_shared.settings import SplitScoreSettings
from tsn.tsn_shared.splits import Subset, open_split

WAY_OUT = "name another folder with --out"


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """A pass over the test clips of a split: the figures with what they were computed from, and each clip's logits.

    `name` is the run's, `words` say how it was scored, `folder` is where its files go unless told otherwise.
    """

    figures: Figures
    scored: ScoredClips
    classes: tuple[str, ...]
    folder: Path
    words: str
    name: str


FEW = 0.05
"""A wider interval of top-1 than this is told: that of UCF101's test clips is 2.4 % wide."""

CHOSEN_ON_THESE = (
    "The best epoch was chosen on the clips that it is scored on: of others less can be expected. "
    "A split with val clips chooses on those."
)
"""As where a split has no val, like UCF101's own."""


def evaluate(
    checkpoint: Path,
    settings: SplitScoreSettings,
    hold: Callable[[Path], None] = lambda folder: None,
    *,
    subset: Subset | None = None,
) -> Evaluation:
    """Score a checkpoint, or the best of a run, on every clip of a subset once: test, or val where there is no test.

    Errors are those of `plan_pass`.

    `hold` is called with the folder of its files before the clips are scored, which takes long.
    """
    trained = load_trained(checkpoint)
    wanted = plan_pass(subset, trained, settings)
    split = open_split(wanted.data)
    other = "" if trained.path.stem in ("best", "model") else f"-{trained.path.stem}"
    other += "" if wanted.subset == split.scored else f"-{wanted.subset}"
    folder = trained.run / "evaluation" / f"split{wanted.data.split}-{wanted.protocol}-{wanted.segments}{other}"
    hold(folder)
    scored = run_pass(wanted, trained, settings)
    own_split = learned_from(trained, split)
    return Evaluation(
        figures=Figures(
            checkpoints=(trained.path,),
            epoch=trained.epoch,
            protocol=wanted.protocol,
            num_segments=wanted.segments,
            split=wanted.data.split,
            trained_on_split=trained.settings.split,
            own_split=own_split,
            subset=wanted.subset,
            chosen_on_these=own_split and split.choosing == wanted.subset and trained.path.stem != "last",
            metrics=metrics_of(scored.values, scored.labels),
            per_class=tuple(class_metrics(scored.values, scored.labels, trained.classes)),
        ),
        scored=scored,
        classes=trained.classes,
        folder=folder,
        words=wanted.words,
        name=trained.run.resolve().name,
    )


def fuse(evaluations: Sequence[Evaluation], weights: Sequence[float] | None) -> Evaluation:
    """Average the class probabilities of several runs on the same clips, weighted (by default all the same).

    As two-stream networks are fused: Simonyan and Zisserman, NIPS 2014. SettingsError where the clips differ.
    """
    first = evaluations[0]
    weights = weights or [1.0] * len(evaluations)
    for other in evaluations[1:]:
        if (other.scored.names, other.classes) != (first.scored.names, first.classes):
            raise SettingsError(
                f"{other.figures.checkpoints[0]} was scored on other clips or classes than "
                f"{first.figures.checkpoints[0]}: runs on the same split can be fused"
            )
    shares = torch.tensor(weights, dtype=torch.float64) / sum(weights)
    probabilities = torch.stack([each.scored.values.double().softmax(dim=1) for each in evaluations])
    mixed = (shares[:, None, None] * probabilities).sum(dim=0)
    scored = ScoredClips(values=mixed.log().float(), labels=first.scored.labels, names=first.scored.names)
    return Evaluation(
        figures=replace(
            first.figures,
            checkpoints=tuple(path for each in evaluations for path in each.figures.checkpoints),
            epoch=None,
            weights=tuple(weights),
            own_split=all(each.figures.own_split for each in evaluations),
            chosen_on_these=any(each.figures.chosen_on_these for each in evaluations),
            metrics=metrics_of(scored.values, scored.labels),
            per_class=tuple(class_metrics(scored.values, scored.labels, first.classes)),
        ),
        scored=scored,
        classes=first.classes,
        folder=first.folder.with_name(_fused_name(evaluations, weights)),
        words=f"{counted(len(evaluations), 'run')} fused, {first.words}",
        name=" + ".join(each.name for each in evaluations),
    )


def _fused_name(evaluations: Sequence[Evaluation], weights: Sequence[float]) -> str:
    """Return a folder's name that no other fusion of these runs has: what is not the same for all is in it for each."""
    scored = [each.folder.name for each in evaluations]
    parts = ["fused", "+".join(each.name for each in evaluations)]
    if len(set(weights)) > 1:
        parts.append("+".join(repr(float(weight)).removesuffix(".0") for weight in weights))
    return "-".join([*parts, "+".join(scored if len(set(scored)) > 1 else scored[:1])])


def evaluate_runs(
    checkpoints: Sequence[Path],
    settings: SplitScoreSettings,
    *,
    subset: Subset | None = None,
    fused: bool = False,
    fuse_weights: Sequence[float] | None = None,
    out: Path | None = None,
) -> tuple[Figures | MeanFigures, str]:
    """Evaluate the runs as the command line asks; write their files; return the figures and a text of them.

    `settings.split` names a split a run, with commas between them, or one for all that are fused.
    """
    if fused:
        _check_weights(fuse_weights, len(checkpoints))
    names = settings.split.split(",") if settings.split is not None else [None] * len(checkpoints)
    if fused and len(names) == 1:
        names *= len(checkpoints)
    if len(names) != len(checkpoints):
        raise SettingsError(f"--split {settings.split}: {len(checkpoints)} runs need as many names of splits, or none")
    if not fused and len(checkpoints) > 1:
        _check_splits(checkpoints, names)
    devices = str(count_gpus(settings.gpus))
    several = len(checkpoints) > 1 and not fused
    with ExitStack() as stack:

        def place(folder: Path) -> Path:
            return folder if out is None else out / folder.name if several else out

        def hold(folder: Path) -> None:
            _hold(place(folder), stack)

        each = [
            evaluate(
                checkpoint, replace(settings, split=name, gpus=devices), *(() if fused else (hold,)), subset=subset
            )
            for checkpoint, name in zip(checkpoints, names, strict=True)
        ]
        if fused:
            each = [fuse(each, fuse_weights)]
            hold(each[0].folder)
        for evaluation in each:
            write_files(evaluation, place(evaluation.folder))
    if len(each) == 1:
        only = each[0].figures
        remarks = [CHOSEN_ON_THESE] * only.chosen_on_these + few_clips(only.metrics)
        return only, "\n".join([class_table(only.per_class), "", *remarks, headline(each[0])])
    figures = MeanFigures(runs=tuple(evaluation.figures for evaluation in each))
    splits, mean = ", ".join(run.split for run in figures.runs), figures.mean
    chosen = [CHOSEN_ON_THESE] * any(run.chosen_on_these for run in figures.runs)
    last = f"mean over splits {splits}, {each[0].words}, {mean.clips} clips in all: {percent(mean)}"
    return figures, "\n".join([*(headline(evaluation) for evaluation in each), *chosen, last])


def few_clips(metrics: Metrics) -> list[str]:
    """Return a remark on how little few clips say; none where top-1 is known to within a few percent."""
    low, high = interval(metrics.top1, metrics.clips)
    if high - low < FEW:
        return []
    return [f"So few clips say that top-1 lies between {low:.0%} and {high:.0%} (95 % confidence, at best)."]


def _hold(folder: Path, stack: ExitStack) -> None:
    """Hold a folder of an evaluation's files until the stack ends."""
    with writing(folder, WAY_OUT):
        stack.enter_context(locked(folder, f"{folder} is in use by another evaluation: wait for it, or {WAY_OUT}"))


def _check_weights(weights: Sequence[float] | None, runs: int) -> None:
    if weights and (len(weights) != runs or not all(0 < weight < math.inf for weight in weights)):
        raise SettingsError(f"--fuse-weights: {runs} numbers above 0 are needed, one a run")


def _check_splits(checkpoints: Sequence[Path], names: Sequence[str | None]) -> None:
    splits = [name or load_trained(path).settings.split for path, name in zip(checkpoints, names, strict=True)]
    if len(set(splits)) < len(splits):
        raise SettingsError(
            f"these runs are of splits {', '.join(splits)}: a mean over splits takes one run of each; "
            "tsn compare shows runs of one split side by side"
        )


def write_files(evaluation: Evaluation, folder: Path) -> None:
    """Write scores.json, predictions.csv, probabilities.h5, confusion.png and per_class.png into a folder."""
    scored, classes = evaluation.scored, evaluation.classes
    shares = replace(scored, values=scored.values.double().softmax(dim=1))
    title = f"{evaluation.name}: {headline(evaluation)}"
    with writing(folder, WAY_OUT):
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "scores.json", json_text(evaluation.figures.plain(), indent=2) + "\n")
        write_text(folder / "predictions.csv", predictions_csv(shares, classes))
        write_clip_values(folder / "probabilities.h5", PROBABILITIES, shares, classes, _stated(evaluation.figures))
        draw_confusion(confusion(scored.values, scored.labels), classes, folder / "confusion.png", title)
        draw_per_class(evaluation.figures.per_class, folder / "per_class.png", title)
    say(f"scores.json, predictions.csv, probabilities.h5, confusion.png, per_class.png: {folder}")


def _stated(figures: Figures) -> dict[str, str | int]:
    """Return what a file of probabilities states of how they were made."""
    checkpoints = "\n".join(map(str, figures.checkpoints))
    stated = {name: getattr(figures, name) for name in ("protocol", "num_segments", "split", "subset")}
    return {"checkpoint": checkpoints, **stated}


def predictions_csv(scored: ScoredClips, classes: Sequence[str]) -> str:
    """Return a line a clip, of probabilities: its name and label, then its best five classes."""
    best = scored.values.topk(min(TOP, len(classes)), dim=1)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    ranks = range(1, best.indices.shape[1] + 1)
    writer.writerow(["clip", "label", *(f"{column}{rank}" for rank in ranks for column in ("class", "score"))])
    for name, label, rows, values in zip(
        scored.names, scored.labels.tolist(), best.indices.tolist(), best.values.tolist(), strict=True
    ):
        answer = (part for row, value in zip(rows, values, strict=True) for part in (classes[row], f"{value:.6f}"))
        writer.writerow([name, classes[label], *answer])
    return file.getvalue()


def headline(evaluation: Evaluation) -> str:
    """Return the figures as a line for a person, with the split, the protocol and the number of clips."""
    figures = evaluation.figures
    where, own = f"split {figures.split}", figures.trained_on_split
    if figures.split != own:
        where += f" (trained on split {own})"
    elif not figures.own_split:
        where += f" (another split {own} than it was trained on)"
    return f"{where}, {evaluation.words}, {figures.metrics.clips} {figures.subset} clips: {percent(figures.metrics)}"


def class_table(rows: Sequence[ClassMetrics]) -> str:
    """Return a table of the classes, in percent, with the class that the clips of each were most often taken for."""
    top5 = any(row.top5 is not None for row in rows)
    return table(
        ["class", "clips", "top-1", *(["top-5"] if top5 else []), "most often taken for"],
        [[row.name, row.clips, *map(_percent, (row.top1, row.top5)[: 1 + top5]), _taken_for(row)] for row in rows],
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _taken_for(row: ClassMetrics) -> str:
    return f"{row.taken_for} ({row.times})" if row.taken_for else ""
