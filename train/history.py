"""An epoch's figures, and a run's history of them: what a trainer gives, files keep, reporters tell, pictures draw."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from tsn.tsn_shared import schema
from tsn.tsn_shared.settings import MOST_EPOCHS


@dataclass(frozen=True, kw_only=True)
class Row:
    """An epoch's figures over all ranks: losses in nats, accuracies as fractions from 0 to 1.

    Those of validation are all there, or none, but for two: top-5 is None where there are at most five classes, and
    older files lack the mean class accuracy, the mean of top-1 over the classes that have clips. `step` counts from
    the run's beginning; `lr` is that of the last step.
    """

    epoch: int
    step: int
    lr: float
    train_loss: float
    train_top1: float
    clips_per_second: float
    data_wait_share: float
    seconds: float
    val_loss: float | None = None
    val_top1: float | None = None
    val_top5: float | None = None
    val_mean_class_accuracy: float | None = None

    def plain(self) -> dict[str, float]:
        """Return the figures that there are, by name, as files hold them."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def best_row(history: Sequence[Row]) -> Row | None:
    """Return the row of the highest validation accuracy, of several the one of the lowest loss, of these the first.

    None where no epoch was validated. Few clips tie often, and the first epoch that has them right has learned least.
    """
    validated = [
        (row.val_top1, -row.val_loss, -row.epoch, row)
        for row in history
        if row.val_top1 is not None and row.val_loss is not None
    ]
    return max(validated, key=lambda entry: entry[:3])[3] if validated else None


def rows_of(values: Any, where: str) -> list[Row]:
    """Return the rows that plain values hold, once each is known to be one; WrongValueError where one is none.

    Columns that no row has are left out: a later version may have written them.
    """
    check_rows(values, where)
    names = [entry.name for entry in fields(Row)]
    return [Row(**{name: value[name] for name in names if name in value}) for value in values]


def check_rows(values: Any, where: str) -> None:
    """Check that plain values are rows."""
    schema.each(_check_row, most=MOST_EPOCHS)(values, where)


def check_order(history: Sequence[Row], where: str) -> None:
    """Check that rows are those of a run's epochs, from the first one on."""
    for place, row in enumerate(history):
        if row.epoch != place:
            raise schema.wrong(row.epoch, f"{where}[{place}].epoch", f"{place}")


def _check_row(row: Any, where: str) -> None:
    _TRAINED(row, where)
    if any(name in row for name in (*_VALIDATED, *_NOT_ALWAYS)):
        schema.record(_VALIDATED, _NOT_ALWAYS)(row, where)


_SHARE = schema.real(0, 1)
_TRAINED = schema.record(
    {
        "epoch": schema.whole(0),
        "step": schema.whole(0),
        "lr": schema.real(0),
        "train_loss": schema.real(),
        "train_top1": _SHARE,
        "clips_per_second": schema.real(0),
        "data_wait_share": schema.real(0),
        "seconds": schema.real(0),
    }
)
_NOT_ALWAYS = {"val_top5": _SHARE, "val_mean_class_accuracy": _SHARE}
"""Figures of validation that few classes do not have, or that older versions do not write."""

_VALIDATED = {"val_loss": schema.real(), "val_top1": _SHARE}
