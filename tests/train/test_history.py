"""An epoch's figures as files hold them, and which epoch is the best."""

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsn.train.history import Row, best_row, check_order, rows_of
from tsn.tsn_shared.schema import WrongValueError

NUMBERS = st.floats(0, 1e6)
SHARES = st.floats(0, 1)
TRAINED: dict[str, st.SearchStrategy[Any]] = {
    **{name: st.integers(0, 10**6) for name in ("epoch", "step")},
    **dict.fromkeys(("lr", "train_loss", "clips_per_second", "data_wait_share", "seconds"), NUMBERS),
    "train_top1": SHARES,
}
VALIDATED: dict[str, st.SearchStrategy[Any]] = {"val_loss": NUMBERS, "val_top1": SHARES}
ROWS = st.one_of(
    st.builds(Row, **TRAINED),
    st.builds(
        Row, **TRAINED, **VALIDATED, **dict.fromkeys(("val_top5", "val_mean_class_accuracy"), st.none() | SHARES)
    ),
)


MEAN = "val_mean_class_accuracy"


def row(epoch: int, val_top1: float | None = None) -> Row:
    validated = {} if val_top1 is None else {"val_top1": val_top1, "val_loss": 1.0, "val_top5": 1.0, MEAN: 0.5}
    speed = {"clips_per_second": 1.0, "data_wait_share": 0.0, "seconds": 1.0}
    return Row(epoch=epoch, step=epoch, lr=0.1, train_loss=1.0, train_top1=0.5, **speed, **validated)


@given(st.lists(ROWS, max_size=4))
def test_rows_come_back_from_plain_values_as_they_were(rows: list[Row]) -> None:
    assert rows_of([row.plain() for row in rows], "") == rows


def test_columns_have_the_names_and_the_order_that_files_have() -> None:
    assert " ".join(row(0, 0.5).plain()) == (
        "epoch step lr train_loss train_top1 clips_per_second data_wait_share seconds val_loss val_top1 val_top5 "
        f"{MEAN}"
    )
    assert [*row(0).plain()] == [entry.name for entry in fields(Row)][:8]


def test_a_row_that_lacks_a_figure_of_validation_or_of_training_is_none() -> None:
    plain = {key: value for key, value in row(0, 0.5).plain().items() if key not in VALIDATED}
    with pytest.raises(WrongValueError, match="is missing"):
        rows_of([plain], "history")
    with pytest.raises(WrongValueError, match="val_mean_class_accuracy is 2"):
        rows_of([row(0, 0.5).plain() | {"val_mean_class_accuracy": 2}], "history")
    for name in ("val_loss", "train_loss"):
        plain = {key: value for key, value in row(0, 0.5).plain().items() if key != name}
        with pytest.raises(WrongValueError, match=rf"history\[0\]\.{name} is missing"):
            rows_of([plain], "history")


def test_a_column_of_a_later_version_is_left_out() -> None:
    assert rows_of([row(0).plain() | {"val_f1": 0.5}], "") == [row(0)]


def test_the_best_is_the_highest_in_validation_of_these_the_lowest_loss_of_these_the_first() -> None:
    history = [row(0), row(1, 0.25), row(2, 0.5), row(3, 0.5), row(4)]
    assert best_row(history) is history[2]
    history += [replace(row(5, 0.5), val_loss=0.5), replace(row(6, 0.5), val_loss=0.5), row(7, 0.5)]
    assert best_row(history) is history[5]
    assert best_row([replace(history[5], epoch=0), row(1, 0.75)]) == row(1, 0.75)
    assert best_row([row(0)]) is None
    assert best_row([]) is None


def test_a_history_counts_its_epochs_from_the_first() -> None:
    check_order([row(0), row(1)], "history")
    with pytest.raises(WrongValueError, match=r"history\[1\]\.epoch is 2: it must be 1"):
        check_order([row(0), row(2)], "history")
