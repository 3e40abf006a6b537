"""Pictures of 101 classes are large enough to read and hold no more than they must."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from tsn.train.history import Row
from tsn.train.metrics import class_metrics, confusion
from tsn.train.pictures import (
    _spread_losses,
    draw_comparison,
    draw_confusion,
    draw_curves,
    draw_per_class,
    new_figure,
)

CLASSES = tuple(f"ClassOfALongName{number:03d}" for number in range(101))


SPEED = {"clips_per_second": 1.0, "data_wait_share": 0.0, "seconds": 1.0}
ROW = Row(epoch=0, step=1, lr=0.1, train_loss=1.0, train_top1=0.5, **SPEED)


@pytest.fixture(scope="module")
def scored() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(101).repeat_interleave(5)
    logits = torch.randn(len(labels), 101, generator=generator)
    return logits + 3 * torch.nn.functional.one_hot(labels, 101), labels


@pytest.mark.slow
def test_a_row_of_101_classes_has_room_for_its_name(scored: tuple[torch.Tensor, torch.Tensor], tmp_path: Path) -> None:
    draw_confusion(confusion(*scored), CLASSES, tmp_path / "confusion.png", "title, 505 clips: top-1")
    draw_per_class(class_metrics(*scored, CLASSES), tmp_path / "per_class.png", "title")
    with Image.open(tmp_path / "confusion.png") as picture:
        assert min(picture.size) > 101 * 18  # pixels a class, of letters 8 to 11 pixels high
        assert max(picture.size) < 4000
    with Image.open(tmp_path / "per_class.png") as picture:
        assert picture.height > 101 * 18


def test_classes_without_clips_that_were_never_given_are_left_out(tmp_path: Path) -> None:
    counts = torch.zeros(101, 101, dtype=torch.int64)
    counts[3, 3], counts[3, 70] = 4, 1
    draw_confusion(counts, CLASSES, tmp_path / "few.png", "title")
    with Image.open(tmp_path / "few.png") as picture:
        assert max(picture.size) < 1200


@pytest.mark.parametrize("name", [r"$\nothing$", "US$_$", "two\nlines", "Прыжок Άλμα", "写真 한국 カナ"])
def test_names_are_drawn_as_they_are_and_never_as_formulas(name: str, tmp_path: Path) -> None:
    labels = torch.tensor([0, 0])
    logits = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    draw_confusion(confusion(logits, labels), (name, name), tmp_path / "confusion.png", name)
    draw_per_class(class_metrics(logits, labels, (name, name)), tmp_path / "per_class.png", name)
    draw_comparison({name: [ROW]}, tmp_path / "compare.png")
    draw_curves([ROW], tmp_path / "curves.png", name)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "compare.png",
        "confusion.png",
        "curves.png",
        "per_class.png",
    ]


def test_long_runs_are_drawn_and_a_wild_loss_makes_the_axis_logarithmic(tmp_path: Path) -> None:
    rows = [replace(ROW, epoch=epoch, val_loss=5000.0 if epoch == 0 else 1.0, val_top1=0.5) for epoch in range(30)]
    draw_comparison({"long": rows, "short": rows[1:3]}, tmp_path / "compare.png")
    draw_curves(rows, tmp_path / "curves.png", "title")
    figure = new_figure(4, 4)
    for history, scale in ((rows, "log"), (rows[1:], "linear")):
        axes = figure.subplots()
        _spread_losses(axes, history)
        assert axes.get_yscale() == scale
