"""torch.compile of the training step: what it computes, what a GPU would run of it, and what happens where it fails."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch._inductor.config
from torch import nn

from tests.train.rank_steps import SIZE, network
from tests.train.runs import ROOT, command, history
from tsn.pipeline.loading.loader import Batch, EvalPass
from tsn.pipeline.loading.source import ClipPlan
from tsn.train.fit.compilation import FALLBACK, compiled, is_compilers
from tsn.train.fit.launch import train
from tsn.train.fit.trainer import Trainer
from tsn.train.network.dropout import ClipDropout
from tsn.train.ranks.group import Ranks
from tsn.tsn_shared.settings import TrainSettings

CPU = Ranks(device=torch.device("cpu"))


@pytest.fixture(autouse=True)
def _forget_what_was_compiled() -> None:
    torch.compiler.reset()


def test_compiled_dropout_keeps_what_plain_dropout_keeps() -> None:
    positions = torch.tensor([3, 2**33 + 5, 11])
    module = ClipDropout(0.7, seed=2**40 + 3, layer=1, positions=positions).train()
    features = torch.rand(9, 130) + 1
    fast: Any = torch.compile(module, fullgraph=True)
    assert torch.equal(fast(features), module(features))
    positions += 4  # the next step's
    assert torch.equal(fast(features), module(features))


def trainer_of(*, fast: bool) -> Trainer:
    """Return a trainer of a small network with two dropouts, compiled or not."""
    settings = TrainSettings(batch_size=3, num_segments=2, input_size=SIZE, num_epochs=1, lr=0.1, compile=fast)
    return Trainer(model=network(), settings=settings, ranks=CPU, num_clips=9, precision="fp32")


def test_compiled_steps_and_scores_are_the_plain_ones() -> None:
    rows = {}
    for fast in (False, True):
        trainer = trainer_of(fast=fast)
        told = trainer.compile()
        assert told.startswith("compiled in ") == fast, told
        generator = torch.Generator().manual_seed(3)
        clips = torch.randn(9, 2, SIZE, SIZE, 3, generator=generator).permute(0, 1, 4, 2, 3)
        stretch = [batch_of(clips[start : start + 3], start) for start in range(0, 9, 3)]
        row = trainer.train_epoch(iter(stretch), lambda: None)
        metrics = trainer.validate(EvalPass(batches=iter(stretch), steps=3, clips=9))
        rows[fast] = row.train_loss, metrics.loss
    assert rows[True] == pytest.approx(rows[False], rel=1e-5)


def batch_of(clips: torch.Tensor, first: int) -> Batch:
    rows = np.arange(first, first + len(clips))
    nothing = np.zeros((len(clips), clips.shape[1]))
    valid = np.ones(len(clips), dtype=np.bool_)
    plan = ClipPlan(
        rows=rows, labels=rows % 4, valid=valid, frame_indices=nothing.astype(np.int64), crops=nothing.astype(np.int64),
        flips=nothing > 0,
    )  # fmt: skip
    return Batch(clips=clips, plan=plan)


@pytest.mark.slow
def test_a_compiled_training_is_the_plain_one(small: dict[str, Any], tmp_path: Path) -> None:
    """Up to rounding: the kernels fuse what plain torch rounds between. Two networks: trained and validated."""
    rows = {}
    for name, asked in (("plain", False), ("fast", True)):
        settings = small | {"run": tmp_path / name, "compile": asked, "num_epochs": 1, "lr": 0.001}
        train(TrainSettings(**settings), frozenset())
        rows[name] = history(tmp_path / name)[0]
    log = (tmp_path / "fast" / "log.txt").read_text()
    assert "compiled in " in log
    assert FALLBACK not in log
    for column in ("train_loss", "val_loss"):
        assert rows["fast"][column] == pytest.approx(rows["plain"][column], rel=1e-3)


def test_where_the_compiler_fails_the_network_is_trained_without_it() -> None:
    """As on a machine without a C++ compiler."""
    trainer = trainer_of(fast=True)
    with torch._inductor.config.patch({"cpp.cxx": ("no-such-compiler",), "force_disable_caches": True}):
        told = trainer.compile()
    assert told.startswith(FALLBACK)
    assert told.endswith("training goes on without it, slower")
    assert "\n" not in told
    assert trainer._network is trainer._scored is trainer.model


@pytest.mark.slow
def test_where_the_compiler_fails_training_goes_on_and_says_so_in_a_line(small: dict[str, Any], tmp_path: Path) -> None:
    """A machine without a C++ compiler: every torch.compile on its CPU fails."""
    where = {"PATH": "/nowhere", "CXX": "no-such-compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "kernels")}
    words = command(small | {"num_epochs": 1}, "--compile")
    done = subprocess.run(words, cwd=ROOT, env=where, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if FALLBACK in line]
    assert len(told) == 1
    assert told[0].endswith("training goes on without it, slower")
    assert "Traceback" not in done.stderr
    assert len(history(small["run"])) == 1


def test_other_errors_than_the_compilers_are_raised() -> None:
    plain = nn.Linear(2, 2)

    def fail(networks: Sequence[nn.Module], error: Exception) -> None:
        raise error

    for error in (torch.OutOfMemoryError("CUDA out of memory"), ValueError("a mistake")):
        with pytest.raises(type(error)):
            compiled((plain,), lambda networks, error=error: fail(networks, error), CPU)  # type: ignore[misc]


def test_want_of_memory_is_no_error_of_the_compiler_however_it_is_wrapped() -> None:
    from torch._dynamo.exc import BackendCompilerFailed
    from torch._inductor.exc import InductorError

    def wrapped(kind: Any, inner: Exception) -> Any:
        return kind("inductor", inner, None) if kind is BackendCompilerFailed else kind(inner, None)

    for kind in (BackendCompilerFailed, InductorError):
        assert is_compilers(wrapped(kind, RuntimeError("no C compiler")))
        assert not is_compilers(wrapped(kind, torch.OutOfMemoryError("out of memory")))


class _OtherRank(Ranks):
    """A rank beside another, whose compiler has failed."""

    def gather_words(self, words: str) -> list[str]:
        return [words, "CompilationError: at 3:4"]


def test_all_ranks_go_on_without_where_one_has_failed() -> None:
    plain = nn.Linear(2, 2)
    networks, reason = compiled((plain,), lambda networks: None, _OtherRank(device=torch.device("cpu")))
    assert networks == (plain,)
    assert reason == "CompilationError: at 3:4"


@pytest.mark.parametrize("step", ["head", pytest.param("network", marks=pytest.mark.slow)])
def test_the_kernels_of_the_default_step_compile_for_hopper(step: str, tmp_path: Path) -> None:
    """`head` in seconds: dropout, consensus and loss, forward and backward; `network` is the whole of VGG16."""
    pytest.importorskip("triton", reason="torch is built without Triton")
    done = subprocess.run(
        [sys.executable, "-m", "tests.train.hopper", step],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "TRITON_CACHE_DIR": str(tmp_path), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    outcomes = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert set(outcomes.values()) == {"compiles"}
    assert any("bitwise_xor" in name for name in outcomes)  # the dropout's numbers
    assert any("softmax_backward" in name for name in outcomes)  # the loss's gradient
