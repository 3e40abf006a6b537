"""Which clips a rank serves: the same stream for any number of ranks, every clip once."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsn.pipeline.loading.schedule import EvalSchedule, TrainSchedule, check_batch, first_step, train_schedule
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.settings import BALANCES, LoaderSettings
from tsn.tsn_shared.splits import Clips

CLIPS = st.integers(1, 60)
BATCH = st.integers(1, 9)
WORLD = st.integers(1, 9)
BALANCE = st.sampled_from(BALANCES)


def global_batch(
    clips: int, batch: int, world: int, step: int, *, start: int = 0, balance: str = "none"
) -> list[tuple[int, int]]:
    """Return (epoch, row) of the ranks' batches, one after the other; a third of the clips are of a class each."""
    pairs: list[tuple[int, int]] = []
    for rank in range(world):
        how: dict[str, Any] = {"rank": rank, "world_size": world, "start": start}
        how |= {"labels": np.maximum(np.arange(clips) - clips // 3, 0), "balance": balance}
        served = TrainSchedule(num_clips=clips, batch_size=batch, seed=4, **how).batch(step)
        assert served.valid.all()
        pairs += zip(served.epochs.tolist(), served.rows.tolist(), strict=True)
    return pairs


@pytest.mark.parametrize("world", [2, 3, 4, 8])
@given(clips=CLIPS, share=st.integers(1, 3), step=st.integers(0, 20), balance=BALANCE)
def test_ranks_together_serve_the_global_batch_of_one(
    world: int, clips: int, share: int, step: int, balance: str
) -> None:
    whole = 24 * share
    alone = global_batch(clips, whole, 1, step, balance=balance)
    assert global_batch(clips, whole // world, world, step, balance=balance) == alone


@given(CLIPS, BATCH, WORLD, st.integers(1, 4))
def test_every_epoch_serves_each_clip_once_and_the_next_one_follows(
    clips: int, batch: int, world: int, epochs: int
) -> None:
    steps = -(-epochs * clips // (batch * world))
    stream = [pair for step in range(steps) for pair in global_batch(clips, batch, world, step)]
    for epoch in range(epochs):
        served = stream[epoch * clips : (epoch + 1) * clips]
        assert sorted(served) == [(epoch, row) for row in range(clips)]


@given(CLIPS, BATCH, WORLD, st.integers(0, 10), BALANCE)
def test_starting_at_a_step_is_skipping_those_before(
    clips: int, batch: int, world: int, skipped: int, balance: str
) -> None:
    for step in range(3):
        late = global_batch(clips, batch, world, step, start=skipped * batch * world, balance=balance)
        assert late == global_batch(clips, batch, world, skipped + step, balance=balance)


@given(CLIPS, BATCH, st.integers(0, 200), BALANCE)
def test_a_run_goes_on_with_another_number_of_ranks_where_it_stopped(
    clips: int, batch: int, position: int, balance: str
) -> None:
    how: dict[str, Any] = {"start": position, "balance": balance}
    whole = [pair for step in range(6) for pair in global_batch(clips, 2 * batch, 1, step, **how)]
    split = [pair for step in range(4) for pair in global_batch(clips, batch, 3, step, **how)]
    assert split == whole


@given(CLIPS, BATCH, st.sampled_from(["sqrt", "full"]))
def test_a_clip_that_an_epoch_serves_again_is_drawn_for_anew(clips: int, batch: int, balance: str) -> None:
    schedule = TrainSchedule(
        num_clips=clips, batch_size=batch, seed=1, labels=np.minimum(np.arange(clips), 1), balance=balance
    )
    parts = [schedule.batch(number) for number in range(-(-2 * clips // batch))]
    drawn = [pair for part in parts for pair in zip(part.epochs.tolist(), part.keys.tolist(), strict=True)]
    assert len(set(drawn)) == len(drawn)
    plain = TrainSchedule(num_clips=clips, batch_size=batch, seed=1).batch(0)
    assert plain.keys.tolist() == plain.rows.tolist()


def test_the_stream_of_a_training_is_that_of_its_settings() -> None:
    label = np.repeat(np.arange(2, dtype=np.int32), [2, 10])
    clips = Clips(label=label, shard=0 * label, video=0 * label, frames=0 * label + 9)
    settings = LoaderSettings(batch_size=3, seed=5, balance="full")
    found = train_schedule(clips, settings, rank=1, world_size=2, start=4)
    wanted = TrainSchedule(
        num_clips=12, batch_size=3, seed=5, rank=1, world_size=2, start=4, labels=label, balance="full"
    )
    assert found.batch(3).rows.tolist() == wanted.batch(3).rows.tolist()
    served = np.concatenate([train_schedule(clips, settings).batch(number).rows for number in range(4)])
    assert (label[served] == 0).sum() == 6


def test_epochs_have_orders_of_their_own() -> None:
    orders = [global_batch(50, 50, 1, step) for step in range(3)]
    rows = [[row for _, row in order] for order in orders]
    assert rows[0] != rows[1] != rows[2]
    assert rows[0] != sorted(rows[0])


@given(CLIPS, BATCH, WORLD)
def test_evaluation_scores_every_clip_once_on_any_number_of_ranks(clips: int, batch: int, world: int) -> None:
    for number in (0, 1):  # two passes
        scored: list[int] = []
        for rank in range(world):
            schedule = EvalSchedule(num_clips=clips, batch_size=batch, rank=rank, world_size=world)
            for step in range(schedule.steps):
                part = schedule.batch(number * schedule.steps + step)
                assert len(part.rows) == batch  # as many steps of as many clips on every rank: no rank waits for ever
                scored += part.rows[part.valid].tolist()
        assert sorted(scored) == list(range(clips))


@given(CLIPS, BATCH, WORLD, st.integers(0, 5))
def test_evaluation_can_start_at_any_step_of_a_pass(clips: int, batch: int, world: int, first: int) -> None:
    plain = EvalSchedule(num_clips=clips, batch_size=batch, world_size=world)
    late = EvalSchedule(num_clips=clips, batch_size=batch, world_size=world, first=first)
    for number in range(3):
        assert late.batch(number).rows.tolist() == plain.batch(first + number).rows.tolist()


@given(st.integers(0, 20), CLIPS, BATCH)
def test_first_step_is_the_first_that_starts_in_its_epoch(epoch: int, clips: int, per_step: int) -> None:
    step = first_step(epoch, num_clips=clips, clips_per_step=per_step)
    assert step * per_step >= epoch * clips
    assert step == 0 or (step - 1) * per_step < epoch * clips


def test_more_clips_a_step_than_an_epoch_has_are_refused() -> None:
    check_batch(num_clips=8, clips_per_step=8, split="split1.h5")
    with pytest.raises(SettingsError, match="9 clips is more than the 8"):
        check_batch(num_clips=8, clips_per_step=9, split="split1.h5")
    with pytest.raises(SettingsError, match="no clips"):
        check_batch(num_clips=0, clips_per_step=1, split="split1.h5")


def test_a_late_step_costs_no_more_than_the_first() -> None:
    """Only the orders of the epochs at hand are made."""
    schedule = TrainSchedule(num_clips=1000, batch_size=10, seed=0, start=10**12)
    served = schedule.batch(0)
    assert served.epochs.tolist() == [10**9] * 10
    assert len(np.unique(served.rows)) == 10
