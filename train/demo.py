"""`tsn demo`: a data set small enough to train on while one watches, and the commands that go from it to answers.

The command line runs what `commands` names, as a user would type it, so the demo shows what there is and no more.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from click import Abort

from tsn.pipeline.synthetic import LISTS, VIDEOS, make_dataset
from tsn.tsn_shared.console import say
from tsn.tsn_shared.files import writing

RECIPE = {
    "model": "resnet18",
    "weights": "none",
    "input-size": "48",
    "dropout": "0.2",
    "batch-size": "8",
    "num-epochs": "16",
    "lr": "0.005",
    "lr-mode": "cosine",
    "warmup-epochs": "1",
}
"""What learns the drawn classes from nothing in a minute on two cores, and leaves 300 MB. 48 pixels are enough for
patterns that fill the picture."""


def make_data(folder: Path) -> None:
    """Draw the videos and their lists in `folder/data`; SettingsError where they cannot be written."""
    with writing(folder, "name another folder"):
        make_dataset(folder / "data")


def commands(folder: Path) -> list[list[str]]:
    """Return the commands in their order, each as the words after `tsn`; everything stays in `folder`."""
    data, run = folder / "data", folder / "run"
    frames, splits = ["--frames", f"{data}/frames"], ["--splits", f"{data}/splits"]
    recipe = [word for name, value in RECIPE.items() for word in (f"--{name}", value)]
    return [
        ["extract-frames", f"{data}/{VIDEOS}", "--out", f"{data}/frames"],
        ["build-splits", f"{data}/{LISTS}", *frames, "--out", f"{data}/splits"],
        ["show-batch", *frames, *splits, "--batch-size", "6", "--out", f"{folder}/batch.png"],
        ["train", *frames, *splits, "--run", str(run), "--resume", "auto", *recipe],
        ["evaluate", str(run)],
    ]


@contextmanager
def told_to_go_on(folder: Path) -> Iterator[None]:
    """Say how long the demo takes, and how to go on if it is interrupted within."""
    say(f"the demo takes a minute on two cores, more beside other work, and 300 MB in {folder}")
    try:
        yield
    except (KeyboardInterrupt, Abort):
        say(f"tsn demo {folder} goes on from here")
        raise


def closing_words(folder: Path) -> str:
    """Return where to look when all is done, and what comes next."""
    run = folder / "run"
    places = {
        f"{folder}/batch.png": "clips as the network sees them",
        f"{run}/curves.png": "how it learned",
        f"{run}/evaluation/split1-val-3/": "which classes it takes for which",
        f"tsn info {folder}/data/frames": "what was extracted",
    }
    width = max(map(len, places))
    look = "\n".join(f"  {place:{width}}  {what}" for place, what in places.items())
    return f"""
To look at:
{look}

Next, with videos of your own in folders that are named after their classes, my/videos/CLASS/*.mp4:
  tsn extract-frames my/videos --out my/frames
  tsn build-splits --split-by video --frames my/frames --out my/splits
  tsn train --config probe --model resnet50 --frames my/frames --splits my/splits --run my/run
  tsn predict my/run my/videos                 what each of them shows
  tsn predict my/run my/film.mp4 --every 1s    what happens when

This trains the last layer of a network that knows ImageNet's pictures, whose weights are downloaded: minutes without a
GPU. docs/finetune.md goes on from there; tsn -h names all commands."""
