"""What is printed as JSON keeps its names and their order, whatever the records are called."""

from dataclasses import replace
from pathlib import Path

from tsn.train.answers.figures import Figures, MeanFigures, percent
from tsn.train.metrics import ClassMetrics, Metrics

ROW = ClassMetrics(name="a", clips=4, top1=0.25, top5=1.0, taken_for="b", times=3)
FIGURES = Figures(
    checkpoints=(Path("run/best.pt"),),
    epoch=3,
    protocol="val",
    num_segments=5,
    split="1",
    trained_on_split="1",
    own_split=True,
    subset="test",
    chosen_on_these=True,
    metrics=Metrics(clips=4, loss=1.5, top1=0.25, top5=1.0, mean_class_accuracy=0.25),
    per_class=(ROW,),
)
ROWS = [{"name": "a", "clips": 4, "top1": 0.25, "top5": 1.0, "taken_for": "b", "times": 3}]
METRICS = {"clips": 4, "loss": 1.5, "top1": 0.25, "top5": 1.0, "mean_class_accuracy": 0.25}


def test_figures_of_one_network() -> None:
    wanted = {
        "checkpoint": "run/best.pt",
        "epoch": 3,
        "protocol": "val",
        "num_segments": 5,
        "split": "1",
        "trained_on_split": "1",
        "own_split": True,
        "subset": "test",
        "chosen_on_these": True,
        **METRICS,
        "per_class": ROWS,
    }
    assert list(FIGURES.plain().items()) == list(wanted.items())


def test_figures_of_fused_networks_state_their_weights_and_no_epoch() -> None:
    fused = replace(FIGURES, checkpoints=(Path("a"), Path("b")), epoch=None, weights=(1.0, 1.5)).plain()
    assert list(fused.items())[:3] == [("checkpoint", ["a", "b"]), ("weights", [1.0, 1.5]), ("protocol", "val")]
    assert "epoch" not in fused


def test_the_mean_is_that_of_each_figure_over_all_clips_in_all() -> None:
    other = replace(
        FIGURES, split="2", metrics=Metrics(clips=6, loss=0.5, top1=0.75, top5=1.0, mean_class_accuracy=0.5)
    )
    mean = MeanFigures(runs=(FIGURES, other))
    wanted = {
        "protocol": "val",
        "num_segments": 5,
        "splits": ["1", "2"],
        "clips": 10,
        "mean": {"top1": 0.5, "top5": 1.0, "mean_class_accuracy": 0.375, "loss": 1.0},
        "runs": [FIGURES.plain(), other.plain()],
    }
    assert list(mean.plain().items()) == list(wanted.items())
    assert percent(mean.mean) == "top-1 50.00%, top-5 100.00%, mean class accuracy 37.50%, loss 1.0000"
