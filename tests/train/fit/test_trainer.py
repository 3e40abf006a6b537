"""The training step against plain PyTorch, on a small network without batch statistics."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

from tsn.pipeline.loading.loader import Batch
from tsn.pipeline.loading.source import ClipPlan
from tsn.train.fit.checkpoint import LAST, load_checkpoint, save_checkpoint
from tsn.train.fit.contents import Checkpoint, Facts, checkpoint_of
from tsn.train.fit.trainer import Trainer
from tsn.train.history import Row
from tsn.train.network.model import TSN
from tsn.train.ranks.group import Ranks
from tsn.tsn_shared.errors import StoppedError, TsnError
from tsn.tsn_shared.settings import OPTIMIZERS, TrainSettings

CLASSES, CLIPS = 5, 12


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * 4 * 4, CLASSES)

    def forward(self, clips: Tensor) -> Tensor:
        logits: Tensor = self.layer(clips.flatten(2)).mean(dim=1)
        return logits


def network() -> Network:
    torch.manual_seed(0)
    return Network()


def batches(size: int) -> list[Batch]:
    """Return an epoch of random clips, cut into batches."""
    generator = torch.Generator().manual_seed(7)
    clips = torch.randn(CLIPS, 2, 3, 4, 4, generator=generator)
    labels = torch.randint(CLASSES, (CLIPS,), generator=generator)
    rows = np.arange(CLIPS)
    return [
        Batch(
            clips=clips[start : start + size],
            plan=ClipPlan(
                rows=rows[start : start + size],
                labels=labels[start : start + size].numpy(),
                valid=np.ones(size, dtype=np.bool_),
                frame_indices=np.zeros((size, 2), dtype=np.int64),
                crops=np.zeros((size, 4), dtype=np.int64),
                flips=np.zeros(size, dtype=np.bool_),
            ),
        )
        for start in range(0, CLIPS, size)
    ]


def trained(**settings: Any) -> tuple[Network, Row]:
    """Train an epoch with these settings; return the network and its row."""
    chosen = TrainSettings(num_epochs=1, lr=0.5, **settings)
    model = network()
    trainer = Trainer(
        model=model, settings=chosen, ranks=Ranks(device=torch.device("cpu")), num_clips=CLIPS, precision="fp32"
    )
    stream: Iterator[Batch] = iter(batches(chosen.batch_size))
    return model, trainer.train_epoch(stream, lambda: None)


def test_steps_are_those_of_plain_pytorch() -> None:
    model, row = trained(batch_size=4, wd=0.01, label_smoothing=0.1)
    plain = network()
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.5, momentum=0.9, weight_decay=0.01)
    losses = []
    for batch in batches(4):
        loss = cross_entropy(plain(batch.clips), batch.labels, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert torch.allclose(model.layer.weight, plain.layer.weight, atol=1e-6)
    assert row.train_loss == pytest.approx(np.mean(losses))
    assert row.step == 3
    assert row.epoch == 0


def test_accumulated_batches_are_the_big_batch() -> None:
    big, big_row = trained(batch_size=6)
    small, small_row = trained(batch_size=2, accumulate=3)
    assert torch.allclose(big.layer.weight, small.layer.weight, atol=1e-6)
    assert small_row.train_loss == pytest.approx(big_row.train_loss, rel=1e-6)
    assert small_row.step == big_row.step == 2


def test_clip_grad_bounds_the_l2_norm_of_all_gradients_together() -> None:
    free, _ = trained(batch_size=12, momentum=0.0, wd=0.0)
    clipped, _ = trained(batch_size=12, momentum=0.0, wd=0.0, clip_grad=0.01)
    start = nn.utils.parameters_to_vector(network().parameters())
    moved = nn.utils.parameters_to_vector(clipped.parameters()) - start
    freely = nn.utils.parameters_to_vector(free.parameters()) - start
    assert moved.norm().item() == pytest.approx(0.5 * 0.01, rel=1e-3)
    assert torch.allclose(moved / moved.norm(), freely / freely.norm(), atol=1e-4)


def trainer_of(**settings: Any) -> tuple[Trainer, Iterator[Batch]]:
    precision = settings.pop("precision", "fp32")
    chosen = TrainSettings(num_epochs=1, **settings)
    cpu = Ranks(device=torch.device("cpu"))
    trainer = Trainer(model=network(), settings=chosen, ranks=cpu, num_clips=CLIPS, precision=precision)
    return trainer, iter(batches(chosen.batch_size))


def copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


class HostReads(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Count how often a number is fetched from the device (`.item()`, `float(tensor)`, `if tensor`)."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "settings", [{}, {"accumulate": 3}, {"clip_grad": 1.0}, {"label_smoothing": 0.1}, {"optimizer": "adamw"}]
)
def test_a_step_fetches_nothing_from_the_device(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, stream = trainer_of(batch_size=2, **settings)
    with monkeypatch.context() as patch, HostReads() as reads:
        for name in ("tolist", "cpu", "numpy"):
            patch.setattr(Tensor, name, None)  # a call would fail
        trainer.take_step(stream)
        assert reads.count == 0
        assert float(torch.ones(())) == 1
        assert reads.count == 1


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_bad_loss_names_step_clips_and_lr_and_no_step_is_taken_from_there(precision: str, optimizer: str) -> None:
    trainer, stream = trainer_of(batch_size=4, lr=0.25, precision=precision, optimizer=optimizer)
    stretch = list(stream)
    stretch[1].clips[2] = torch.nan
    stream = iter(stretch)
    trainer.take_step(stream)
    before, remembered = copied(trainer.model.state_dict()), copied(trainer.optimizer.state_dict()["state"][0])
    trainer.take_step(stream)
    trainer.take_step(stream)
    assert same(trainer.model.state_dict(), before)
    assert same(trainer.optimizer.state_dict()["state"][0], remembered)
    with pytest.raises(TsnError, match=r"at step 2 \(learning rate 0\.25\) on 1 of 4 clips \(clip 6\); that"):
        trainer.read_sums()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("clip_grad", [None, 1.0])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_no_step_is_taken_from_an_infinite_loss_whose_gradients_are_finite(
    precision: str, clip_grad: float | None, optimizer: str
) -> None:
    trainer, stream = trainer_of(batch_size=4, precision=precision, clip_grad=clip_grad, optimizer=optimizer)
    state = trainer.model.state_dict()
    state["layer.bias"][:] = torch.tensor([0.0, *[-torch.inf] * (CLASSES - 1)])
    before = state["layer.weight"].clone()
    trainer.take_step(stream)
    assert torch.equal(state["layer.weight"], before)
    with pytest.raises(TsnError, match=r"at step 1 .* that step was not taken"):
        trainer.read_sums()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_first_step_that_fp16_skips_leaves_no_trace_in_the_optimiser(optimizer: str) -> None:
    trainer, stream = trainer_of(batch_size=4, precision="fp16", optimizer=optimizer)
    before = trainer.model.state_dict()["layer.weight"].clone()
    trainer._scaler = torch.amp.GradScaler("cpu", init_scale=2.0**30)  # no gradient of float16 survives that
    trainer.take_step(stream)
    assert torch.equal(trainer.model.state_dict()["layer.weight"], before)
    remembered = [value for state in trainer.optimizer.state.values() for value in state.values()]
    assert len(remembered) == (2 if optimizer == "sgd" else 6)
    assert not any(value.any() for value in remembered)


def test_asked_to_stop_it_saves_at_a_step_and_raises() -> None:
    trainer, stream = trainer_of(batch_size=4)
    trainer.stop.asked = True
    saved: list[int] = []
    with pytest.raises(StoppedError, match="at step 1, which is saved"):
        trainer.train_epoch(stream, lambda: saved.append(trainer.step))
    assert saved == [1]


def test_an_epochs_sums_survive_a_checkpoint_in_its_middle() -> None:
    _, whole = trained(batch_size=4)
    trainer, stream = trainer_of(batch_size=4, lr=0.5)
    trainer.take_step(stream)
    trainer.read_sums()
    state = trainer.state()
    later, _ = trainer_of(batch_size=4, lr=0.5)
    later.load_state(state)
    row = later.train_epoch(stream, lambda: None)
    for name in ("epoch", "step", "train_loss", "train_top1"):
        assert getattr(row, name) == getattr(whole, name)


class Normed(Network):
    """The network with batch statistics before its last layer, and dropout: most of it can be frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.tsn = TSN(
            nn.Sequential(OrderedDict(norm=nn.BatchNorm2d(3), flat=nn.Flatten(), drop=nn.Dropout(0.5), fc=self.layer))
        )

    def forward(self, clips: Tensor) -> Tensor:
        logits: Tensor = self.tsn(clips)
        return logits


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_through_a_checkpoint_training_goes_on_bit_for_bit(optimizer: str, frozen: bool, tmp_path: Path) -> None:
    settings = TrainSettings(num_epochs=2, lr=0.1, batch_size=4, optimizer=optimizer, clip_grad=1.0)
    facts = Facts(settings=settings, classes=tuple("abcde"), frames=None, train_sha256=None, history=())

    def new() -> Trainer:
        torch.manual_seed(0)
        model = Normed()
        if frozen:
            model.tsn.freeze_all_but("fc")
        cpu = Ranks(device=torch.device("cpu"))
        return Trainer(model=model, settings=settings, ranks=cpu, num_clips=CLIPS, precision="fp32")

    whole, stopped, later = new(), new(), new()
    stream = batches(4) + batches(4)
    for trainer, stretch in ((whole, stream), (stopped, stream[:2])):
        trainer._network.train()
        for _ in stretch:
            trainer.take_step(iter([stretch[trainer.step]]))
        trainer.read_sums()
    save_checkpoint(tmp_path, Checkpoint(facts=facts, state=stopped.state()).plain(), best=False)
    path = tmp_path / LAST
    found = checkpoint_of(load_checkpoint(path), path, own=later.state(), facts=facts, num_clips=CLIPS)
    later.load_state(found.state)
    later._network.train()
    for batch in stream[2:]:
        later.take_step(iter([batch]))
    later.read_sums()
    assert same(later.model.state_dict(), whole.model.state_dict())
    for ours, theirs in zip(later.optimizer.state.values(), whole.optimizer.state.values(), strict=True):
        assert same(ours, theirs)
    assert replace(later.tally, seconds=0, waited=0) == replace(whole.tally, seconds=0, waited=0)
    assert len(whole.optimizer.state) == (2 if frozen else 4)
    begun = new().model.state_dict()
    changed = {name for name, value in whole.model.state_dict().items() if not torch.equal(value, begun[name])}
    assert changed <= {"layer.weight", "layer.bias", "tsn.backbone.fc.weight", "tsn.backbone.fc.bias"} or not frozen
    assert "layer.weight" in changed
