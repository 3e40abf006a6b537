"""torch.compile: a speed-up, never a condition. Where the compiler fails, all ranks go on without it.

The compiler is imported where it is used: that takes seconds, which a training without it need not wait.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from threading import Thread

import torch
from torch import nn

from tsn.train.ranks.group import Ranks
from tsn.tsn_shared.errors import brief

FALLBACK = "torch.compile failed"
"""How the line begins that says of a training that it goes on without: where it must not, this is looked for."""


def begin() -> None:
    """Load the compiler and start its helpers in a thread, beside what comes before the first compilation."""

    def load() -> None:
        with suppress(Exception):  # if it fails, compiling tells
            from torch._dynamo.backends import inductor  # noqa: F401
            from torch._inductor import async_compile, compile_fx  # noqa: F401

            async_compile.maybe_warm_pool()

    Thread(target=load, name="tsn-compiler", daemon=True).start()


def compiled(
    networks: Sequence[nn.Module], rehearse: Callable[[Sequence[nn.Module]], None], ranks: Ranks
) -> tuple[Sequence[nn.Module], str]:
    """Return networks compiled, or as they are where a rank's compiler failed; and why it did, '' if none has.

    `rehearse` runs what it is given as training will; compiling happens there. It must speak to no other rank: each
    compiles at its own pace, and only then they agree. Whatever is not the compiler's own error is raised.
    """
    # of DDP's own marks for the profiler, which it leaves out, it would tell on every rank
    logging.getLogger("torch._dynamo.variables.ctx_manager").setLevel(logging.ERROR)
    # shapes are few and never change: without `dynamic` each is compiled for itself and slows down no other
    attempt = [torch.compile(network, dynamic=False) for network in networks]
    reason = ""
    try:
        rehearse(attempt)  # type: ignore[arg-type]
    except Exception as error:
        if not is_compilers(error):
            raise
        reason = _in_a_line(error)
    reason = next((words for words in ranks.gather_words(reason) if words), "")
    if not reason:
        return attempt, ""  # type: ignore[return-value]
    torch.compiler.reset()  # what it has made so far holds memory
    return networks, reason


def is_compilers(error: BaseException) -> bool:
    """Return whether an error is one of the compiler itself: of Dynamo, Inductor or Triton, and no want of memory."""
    from torch._dynamo.exc import TorchDynamoException

    causes = list(_causes(error))
    if any(isinstance(cause, torch.OutOfMemoryError | MemoryError) for cause in causes):
        return False
    return any(isinstance(cause, TorchDynamoException) or _is_tritons(cause) for cause in causes)


def where_kernels_are_kept() -> str:
    """Return the folder that the compiler keeps its kernels in: a training that finds them there begins sooner."""
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    return cache_dir()


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and all that it came from."""
    while error is not None:
        yield error
        error = getattr(error, "inner_exception", None) or error.__cause__ or error.__context__


def _in_a_line(error: BaseException) -> str:
    """Return an error's kind, its first line and, where it has many, its last: Triton's own words come last."""
    inner = getattr(error, "inner_exception", None) or error
    lines = str(inner).strip().splitlines()
    last = f" ... {lines[-1].strip()[:200]}" if len(lines) > 1 else ""
    return f"{type(inner).__name__}: {brief(inner)}{last}"


def _is_tritons(error: BaseException) -> bool:
    return any(kind.__module__.partition(".")[0] == "triton" for kind in type(error).__mro__)
