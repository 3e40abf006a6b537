import re
import struct
from contextlib import ExitStack
from dataclasses import fields, replace
from pathlib import Path

import pytest

from tsn.train.fit.folder import RunFolder, read_history
from tsn.train.fit.reporters import epoch_line, open_reporters, verdict
from tsn.train.fit.trackers import SCALARS
from tsn.train.history import Row
from tsn.train.pictures import draw_curves
from tsn.tsn_shared.settings import TrainSettings

TRAINED = {"lr": 0.001, "train_top1": 0.5, "clips_per_second": 10.0, "data_wait_share": 0.001, "seconds": 5.0}
VALIDATED = {"val_loss": 1.5, "val_top1": 0.25, "val_top5": 0.75, "val_mean_class_accuracy": 0.125}


def row(epoch: int, *, validated: bool = True, **changed: float) -> Row:
    figures = TRAINED | {"train_loss": 2.0 / (epoch + 1)} | (VALIDATED if validated else {}) | changed
    return Row(epoch=epoch, step=10 * epoch, **figures)


def test_an_epochs_line_has_loss_accuracy_speed_waiting_and_the_end_time() -> None:
    line = epoch_line(row(3), left=0)
    assert line.startswith(
        "epoch 3: loss 0.500, top-1 50.0% | val loss 1.500, top-1 25.0%, top-5 75.0%, mean class 12.5% | 10.0 clips/s"
    )
    older = replace(row(3), val_mean_class_accuracy=None)
    assert "top-5 75.0% | 10.0 clips/s" in epoch_line(older, left=0)
    of_few_classes = replace(row(3), val_top5=None)
    assert "top-1 25.0%, mean class 12.5% | " in epoch_line(of_few_classes, left=0)
    assert "0.1% waiting for data, the run ends " in line
    assert "val" not in epoch_line(row(3, validated=False), left=0)


@pytest.mark.parametrize(
    ("share", "on_gpu", "precision", "expected"),
    [
        (0.001, False, "fp32", "compute-bound at 10.0 clips/s: only 0.1% of the time"),
        (0.001, True, "fp32", "--precision bf16 or more --gpus"),
        (0.001, True, "bf16", "more --gpus or a smaller --input-size"),
        (0.2, True, "bf16", "data-bound at 10.0 clips/s: 20.0% of the time .* would make 12.5"),
    ],
)
def test_the_verdict_says_which_is_short_by_how_much_and_what_to_turn(
    share: float, on_gpu: bool, precision: str, expected: str
) -> None:
    said = verdict([row(0, data_wait_share=share), row(1, data_wait_share=share)], on_gpu=on_gpu, precision=precision)
    assert re.search(expected, said)
    assert "\n" not in said


def test_reporters_tell_an_epoch_in_every_place_and_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, settings = RunFolder(tmp_path, writes=True), TrainSettings(num_epochs=3)
    with ExitStack() as stack:
        reporters = open_reporters(folder, settings, [row(0)], stack)
        for epoch in (1, 2):
            for reporter in reporters:
                reporter.epoch(row(epoch))
    assert read_history(tmp_path) == [row(0), row(1), row(2)]
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["epoch 1", "epoch 2"]
    names = {path.name.partition(".")[0] for path in tmp_path.iterdir()}
    assert names == {"metrics", "summary", "log", "curves", "events"}


def test_every_figure_but_the_time_is_shown_by_tensorboard() -> None:
    assert {*SCALARS} == {entry.name for entry in fields(Row)} - {"epoch", "step", "seconds"}


def test_ranks_that_write_nothing_report_nothing(tmp_path: Path) -> None:
    with ExitStack() as stack:
        assert open_reporters(RunFolder(tmp_path, writes=False), TrainSettings(), [], stack) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("epochs", [1, 40])
@pytest.mark.parametrize("validated", [True, False])
def test_curves_are_a_picture_also_of_one_epoch_and_without_validation(
    tmp_path: Path, epochs: int, validated: bool
) -> None:
    draw_curves([row(epoch, validated=validated) for epoch in range(epochs)], tmp_path / "curves.png", "title")
    content = (tmp_path / "curves.png").read_bytes()
    assert content[:4] == b"\x89PNG"
    width, height = struct.unpack(">II", content[16:24])
    assert width > 1000
    assert height > 300
