"""The command line: parses, calls one function a command, and turns errors into exit codes.

Options come from the dataclasses in `tsn_shared.settings`, so they and their defaults stand in one place. Whatever is
heavy (torch, DALI, HDF5) is imported inside the command that needs it.
"""

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import click

from tsn.tsn_shared.answer_settings import PredictSettings
from tsn.tsn_shared.command_kinds import Grouped, InOrder, tell
from tsn.tsn_shared.config_text import config_text
from tsn.tsn_shared.console import json_text, say, speaking
from tsn.tsn_shared.environment import wait_asleep
from tsn.tsn_shared.errors import TsnError
from tsn.tsn_shared.headings import TIMED, TRAIN_HEADINGS
from tsn.tsn_shared.options import FOLDER, CommaSeparated, config_options, origins, settings_options, stated
from tsn.tsn_shared.settings import (
    VIDEOS,
    BenchLoaderSettings,
    ExtractSettings,
    ShowBatchSettings,
    SplitScoreSettings,
    SplitsSettings,
    TrainSettings,
)

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110, "auto_envvar_prefix": "TSN"}
INTERRUPTED = 130
SUBSETS = ("train", "val", "test")

as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
of_subset = click.option(
    "--subset", type=click.Choice(SUBSETS), help="Which clips; by default test, or val where there is no test."
)


def show_versions(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Print the versions that matter and end."""
    if not value or context.resilient_parsing:
        return
    from tsn.train.versions import versions

    click.echo("\n".join(f"{name} {number}" for name, number in versions().items()))
    context.exit()


@click.group(cls=InOrder, context_settings=CONTEXT)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=show_versions,
    help="Show the versions that matter.",
)
def tsn() -> None:
    """Train Temporal Segment Networks on video, fast and without surprises.

    In a folder that holds data/UCF-101 and data/ucfTrainTestlist, these three do the whole job:

    \b
        tsn extract-frames
        tsn build-splits
        tsn train --gpus 8

    With videos of your own: --frames, --splits and --out say where, and
    `tsn build-splits -h` how a split is made of folders or a list.
    No data at hand? `tsn demo` makes some and does the same with them.
    """


@tsn.command("extract-frames", short_help="Videos to shards of JPEG frames.")
@click.argument("videos", type=FOLDER, default=VIDEOS)
@settings_options(ExtractSettings)
def extract_frames(videos: Path, **options: Any) -> None:
    """Turn a folder of VIDEOS (data/UCF-101) into shards of JPEG frames.

    Interrupted, it goes on where it stopped. Videos that fail are listed, with exit code 3 unless --allow-failed.
    """
    from tsn.pipeline.extract.run import extract_frames

    extract_frames(videos, ExtractSettings(**options))


@tsn.command("build-splits", short_help="Lists and frames to split files.")
@click.argument("lists", type=FOLDER, default=Path("data/ucfTrainTestlist"))
@settings_options(SplitsSettings)
@as_json
@click.pass_context
def build_splits(context: click.Context, /, lists: Path, as_json: bool, **options: Any) -> None:
    """Join LISTS, a folder (data/ucfTrainTestlist) or one file, to the extracted frames.

    \b
    UCF101, HMDB51:   their own lists
    your own lists:   NAME_train_NAME, and the same with val, test or both,
                      as .txt, .list, .csv or .json: lines of `path label`,
                      `path frames label`, or with a header; class names from
                      classes.txt beside them, or the folders of the videos
    one list, FILE:   its column split says what is what, or --split-by video
                      or group draws a split from it
    no lists at all:  folders train/CLASS, val/CLASS, test/CLASS are the split;
                      of class folders alone --split-by video or group draws one

    docs/data.md shows each. Prints what is in each split and what was left out. Listed videos without frames end the
    command with exit code 3 and no split, unless --allow-missing.
    """
    named = "lists" in stated(context)
    if options["split_by"] == "folder" and named:
        raise click.UsageError(f"--split-by folder reads no lists: leave out {lists}")
    from tsn.pipeline.splits.build import build_splits
    from tsn.pipeline.splits.report import report_json, report_text

    usual = lists.exists() and not options["split_by"]  # the folder that is looked for unnamed
    reports = build_splits(lists if named or usual else None, SplitsSettings(**options))
    click.echo(json_text(report_json(reports)) if as_json else report_text(reports))


@tsn.command(short_help="Train a network on a split.", cls=Grouped, headings=TRAIN_HEADINGS)
@settings_options(TrainSettings)
@config_options
@click.option("--dry-run", is_flag=True, help="Check data and memory, take a step, and end; no run is written.")
@click.pass_context
def train(context: click.Context, /, print_config: bool, dry_run: bool, **options: Any) -> None:
    """Train a Temporal Segment Network; the defaults are the published VGG16 recipe for UCF101.

    \b
        tsn train --gpus 8                           the published run
        tsn train --resume runs/20260101-120000      go on with a run
        tsn train --config probe --model resnet50    fine-tuning, its first half

    \b
    From nothing, on the CPU:
        tsn train --gpus 0 --model resnet18 --weights none --input-size 112 \\
          --batch-size 20 --num-epochs 30 --lr 0.05 --lr-mode cosine \\
          --warmup-epochs 3 --dropout 0.5

    Every option can be set by an environment variable, --batch-size by TSN_TRAIN_BATCH_SIZE. SIGTERM and SIGUSR1 save
    and end with exit code 75.
    """
    settings, given = TrainSettings(**options), stated(context)
    if print_config:
        from tsn.train.fit.place import explained

        click.echo(config_text(*explained(settings, given, origins(context)), TRAIN_HEADINGS))
        return
    from tsn.train.fit.launch import train

    train(settings, given, dry_run=dry_run)


@tsn.command(short_help="Score a run on its test clips.")
@click.argument("checkpoints", type=FOLDER, nargs=-1, metavar="CHECKPOINT...")
@of_subset
@settings_options(SplitScoreSettings)
@click.option(
    "--fuse", type=CommaSeparated(Path, like="A,B"), help="Average the scores of several runs on the same clips."
)
@click.option("--fuse-weights", type=CommaSeparated(float, like="1,1.5"), help="Their weights; by default all alike.")
@click.option("--out", type=FOLDER, metavar="DIR", help="Folder for the files; by default in the run's folder.")
@as_json
def evaluate(
    checkpoints: tuple[Path, ...], subset: Any, fuse: Any, fuse_weights: Any, out: Any, as_json: bool, **options: Any
) -> None:
    """Score a CHECKPOINT, or the best one of a run folder, on every test clip once.

    \b
        tsn evaluate runs/a                     the run's own split and segments
        tsn evaluate runs/a --protocol 10crop   25 frames x 10 crops, as in papers
        tsn evaluate runs/s1 runs/s2 runs/s3    the mean over their splits
        tsn evaluate --fuse runs/vgg,runs/resnet --fuse-weights 1,1.5

    Prints a table of the classes and the figures; leaves scores.json, predictions.csv (the best five),
    probabilities.h5 (all), confusion.png and per_class.png in the run's folder, under evaluation/.
    """
    if bool(checkpoints) == bool(fuse):
        raise click.UsageError("name a CHECKPOINT or a run folder, or several with --fuse A,B")
    if fuse_weights and not fuse:
        raise click.UsageError("--fuse-weights goes with --fuse")
    from tsn.train.answers.evaluate import evaluate_runs

    settings, fused = SplitScoreSettings(**options), bool(fuse)
    figures, text = evaluate_runs(
        fuse or checkpoints, settings, subset=subset, fused=fused, fuse_weights=fuse_weights, out=out
    )
    click.echo(json_text(figures.plain()) if as_json else text)


@tsn.command(short_help="Name the classes of videos.")
@click.argument("checkpoint", type=FOLDER)
@click.argument("videos", type=click.Path(), nargs=-1, required=True, metavar="VIDEO...")
@settings_options(PredictSettings)
@as_json
def predict(checkpoint: Path, videos: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Name the classes of each VIDEO, or of all videos below a folder, by a CHECKPOINT or the best one of a run.

    The videos become frames and are scored as those of a data set, so the numbers are those of evaluate. Each answer
    is printed as soon as it is there. Videos that fail stop nothing, and end the command with exit code 3.

    \b
        tsn predict runs/a videos/ --out answers.jsonl
        tsn predict runs/a a.mp4 --every 1s --window 4s    what happens when
        tsn predict runs/a a.mp4 --every 1s --out a.srt    the same as subtitles
        tsn predict runs/a rtsp://camera/live   live; also -, /dev/video0, http:

    Over time, a moment's scores are the mean over all windows that cover it.
    """
    from tsn.train.answers.predict_command import answer

    answer(checkpoint, videos, PredictSettings(**options), as_json=as_json, tell=click.echo)


@tsn.command(short_help="Write a run as .onnx or .pt2.")
@click.argument("checkpoint", type=FOLDER)
@click.argument("out", type=FOLDER)
@click.option("--size", metavar="WxH|native", help="Size of the stored frames; by default the checkpoint's.")
@click.option("--num-segments", type=click.IntRange(min=1), help="Segments a clip; by default the checkpoint's.")
def export(checkpoint: Path, out: Path, size: str | None, num_segments: int | None) -> None:
    """Write a CHECKPOINT, or the best one of a run, to OUT, an .onnx or .pt2 file that needs no tsn.

    It takes uint8 RGB frames (B, S, H, W, 3) and gives class probabilities (B, C): preprocessing and softmax are
    inside, class names and protocol in its metadata. The file is checked against torch before it gets its name.
    """
    from tsn.train.answers.export import export

    facts = export(checkpoint, out, size=size, num_segments=num_segments)
    click.echo(
        f"{out}: {facts.model}, {len(facts.classes)} classes, {facts.protocol} ({facts.num_segments} segments), "
        f"trained on split {facts.split}; checked against torch"
    )


@tsn.command(short_help="Write the features of clips.")
@click.argument("checkpoint", type=FOLDER)
@click.argument("out", type=FOLDER)
@of_subset
@settings_options(SplitScoreSettings)
def features(checkpoint: Path, out: Path, subset: Literal["train", "val", "test"] | None, **options: Any) -> None:
    """Write the features of clips to OUT, an HDF5 file: VGG's fc7, or what another network's last layer reads.

    It holds feature (N, D), name, label and class/name, in the order of the split.
    """
    from tsn.train.answers.features import write_features

    click.echo(write_features(checkpoint, out, SplitScoreSettings(**options), subset=subset))


@tsn.command(short_help="Runs side by side, their curves in one picture.")
@click.argument("runs", type=FOLDER, nargs=-1, required=True, metavar="RUN...")
@click.option(
    "--out", type=FOLDER, default=Path("compare.png"), show_default=True, metavar="FILE.png", help="File of the curves."
)
@as_json
def compare(runs: tuple[Path, ...], out: Path, as_json: bool) -> None:
    """Print runs side by side, with the settings in which they differ, and overlay their curves in a picture."""
    from tsn.train.answers.compare import compare, side_by_side

    summaries = compare(runs, out)
    click.echo(json_text([summary.plain() for summary in summaries]) if as_json else side_by_side(summaries))


@tsn.command("show-batch", short_help="The very clips of a step, as a picture.")
@settings_options(ShowBatchSettings)
def show_batch(**options: Any) -> None:
    """Show the very clips that the network sees at a step: a picture, or arrays."""
    from tsn.pipeline.loading.show_batch import show_batch

    show_batch(ShowBatchSettings(**options))


@tsn.command(short_help="Hash shards and splits again.")
@click.argument("folders", type=FOLDER, nargs=-1, required=True)
def verify(folders: tuple[Path, ...]) -> None:
    """Hash every byte of the shards and splits in FOLDERS again; a shard or a split itself may be named as well."""
    from tsn.pipeline.verify import verify

    verify(folders)


@tsn.command(short_help="Count what shards and splits hold.")
@click.argument("folders", type=FOLDER, nargs=-1, required=True)
@click.option("--clips", is_flag=True, help="List the clips of splits instead, one a line, as CSV.")
@as_json
def info(folders: tuple[Path, ...], clips: bool, as_json: bool) -> None:
    """Count what the shards and splits in FOLDERS hold; of a run, say which network it trains and how far it came."""
    if clips and as_json:
        raise click.UsageError("--clips prints CSV: leave out --json")
    if clips:
        from tsn.pipeline.clip_table import clip_table

        for lines in clip_table(folders):
            click.echo(lines.encode(), nl=False)
        return
    from tsn.train.answers.run_info import info, info_text

    click.echo(json_text(info(folders)) if as_json else info_text(folders))


@tsn.group(cls=InOrder, short_help="What this machine reaches, and what is short.")
def bench() -> None:
    """Measure what this machine reaches, and which stage is short."""


def _measuring(command: Any) -> Any:
    """Give a measurement its time and its form."""
    seconds = click.FloatRange(min=0, min_open=True)
    option = click.option("--seconds", type=seconds, default=10.0, show_default=True, help="Seconds to measure for.")
    return option(as_json(command))


@bench.command("extract", short_help="Frames a second, by stage.")
@click.argument("videos", type=FOLDER, default=VIDEOS)
@settings_options(ExtractSettings, only=frozenset({"size", "quality", "jobs"}))
@click.option(
    "--out", type=FOLDER, default=ExtractSettings().out, show_default=True, help="Folder to write in; nothing stays."
)
@_measuring
def bench_extract(videos: Path, seconds: float, as_json: bool, **options: Any) -> None:
    """Extract some of VIDEOS (data/UCF-101) to nowhere: frames a second, and what each stage costs.

    Stages: decode, scale, encode (with the pipe and the CRC32s), write (a file without a name in --out, or in the
    system's folder for temporary files where --out is not there yet).
    """
    from tsn.pipeline.extract.bench import bench_extract, extract_bench_text

    speed = bench_extract(videos, ExtractSettings(**options), seconds=seconds)
    click.echo(json_text(asdict(speed)) if as_json else extract_bench_text(speed))


@bench.command("loader", short_help="Clips a second, by stage.")
@settings_options(BenchLoaderSettings)
@_measuring
def bench_loader(seconds: float, as_json: bool, **options: Any) -> None:
    """Serve training clips for some seconds: clips a second, whole and by stage (read, decode, finish, copy)."""
    from tsn.pipeline.loading.bench import bench_loader, bench_text

    speed = bench_loader(BenchLoaderSettings(**options), seconds=seconds)
    click.echo(json_text(asdict(speed)) if as_json else bench_text(speed))


@bench.command("train", short_help="The training loop beside a bare one.")
@settings_options(TrainSettings, only=TIMED)
@_measuring
def bench_train(seconds: float, as_json: bool, **options: Any) -> None:
    """Train for some seconds beside a bare loop of forward, backward and step on clips that are ready."""
    from tsn.train.fit.bench import bench_train

    speed = bench_train(TrainSettings(**options), seconds=seconds)
    click.echo(json_text(speed.plain()) if as_json else speed.words)


@tsn.command(short_help="All of it on data of its own.")
@click.argument("folder", type=FOLDER, default=Path("tsn-demo"))
def demo(folder: Path) -> None:
    """Make a small data set like UCF101 in FOLDER (tsn-demo) and run the three commands on it.

    Everything stays in FOLDER, with the same layout as real data.
    """
    from tsn.train import demo

    with demo.told_to_go_on(folder):
        demo.make_data(folder)
        for words in demo.commands(folder):
            click.secho(f"\n$ tsn {' '.join(words)}", err=True, bold=True)
            tsn.main(words, prog_name="tsn", standalone_mode=False)
    click.echo(demo.closing_words(folder))


def main() -> None:
    """Run the command line; every failure that a user can act on is one line and an exit code."""
    wait_asleep()
    with speaking():
        _main()


def _main() -> None:
    try:
        tsn.main(prog_name="tsn", standalone_mode=False)
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except click.ClickException as error:
        tell(error)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("tsn: interrupted", err=True)
        sys.exit(INTERRUPTED)
    except TsnError as error:
        say(f"tsn: {error}")
        for line in "\n".join(getattr(error, "__notes__", ())).splitlines():
            say(line)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader of our output has gone
        sys.exit(1)
