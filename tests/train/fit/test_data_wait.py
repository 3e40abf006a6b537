"""What counts as waiting for data: the device has nothing to do because no batch is there."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from tests.train.fit.test_trainer import CLIPS, batches, network
from tsn.pipeline.loading.loader import Batch
from tsn.train.fit.data_wait import DataWait
from tsn.train.fit.trainer import Trainer
from tsn.train.ranks.group import Ranks
from tsn.tsn_shared.settings import TrainSettings

STEPS = 6
needs_cuda = pytest.mark.needs_cuda


def share(device: str, between: float, work: Callable[[], object]) -> float:
    """Train an epoch whose batches come `between` seconds after they are asked for, and do other work at each step."""
    where = torch.device(device)
    settings = TrainSettings(num_epochs=1, batch_size=CLIPS // STEPS, compile=False)
    trainer = Trainer(
        model=network().to(where), settings=settings, ranks=Ranks(device=where), num_clips=CLIPS, precision="fp32"
    )
    step = trainer._backward

    def longer(batch: Batch, **how: Any) -> torch.Tensor:
        work()
        return step(batch, **how)

    trainer._backward = longer  # type: ignore[method-assign]

    def stream() -> Iterator[Batch]:
        for batch in batches(settings.batch_size):
            time.sleep(between)
            yield Batch(clips=batch.clips.to(where), plan=batch.plan)

    row = trainer.train_epoch(stream(), lambda: None)
    return float(row.data_wait_share)


def gpu_work() -> None:
    torch.cuda._sleep(100_000_000)  # type: ignore[no-untyped-call]


def test_on_the_cpu_a_slow_loader_is_waited_for_and_a_fast_one_is_not() -> None:
    """Compared with each other: on a busy machine each of them also waits for a core."""
    slow, fast = share("cpu", 0.1, lambda: None), share("cpu", 0.0, lambda: time.sleep(0.1))
    assert slow > 2 * fast


@needs_cuda
def test_on_a_gpu_a_slow_loader_is_waited_for() -> None:
    share("cuda", 0.0, gpu_work)  # the first kernels load
    assert share("cuda", 0.2, lambda: None) > 0.8


@needs_cuda
def test_on_a_gpu_that_works_meanwhile_nothing_is_waited_for() -> None:
    """The host waits for each batch, as it does where the loader's own work queues on the GPU, and the GPU does not."""
    share("cuda", 0.0, gpu_work)
    assert share("cuda", 0.002, gpu_work) < 0.05


@needs_cuda
def test_a_gpu_that_runs_dry_waits_from_there_on_only() -> None:
    wait = DataWait(torch.device("cuda"))
    torch.cuda._sleep(400_000_000)  # type: ignore[no-untyped-call]  # the clock rises
    torch.cuda.synchronize()
    start = time.monotonic()
    torch.cuda._sleep(400_000_000)  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()
    work = time.monotonic() - start
    torch.cuda._sleep(400_000_000)  # type: ignore[no-untyped-call]
    with wait:
        time.sleep(work + 0.3)
    torch.cuda.synchronize()
    assert wait.read() == pytest.approx(0.3, abs=0.05)
    assert wait.read() == 0.0
