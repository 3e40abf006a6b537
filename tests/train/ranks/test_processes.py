"""Work as ranks: what comes back of it, and of those that fail, crash or are asked to stop."""

import os
import sys
import time
from pathlib import Path

import pytest

from tests.train.runs import LIMIT, ROOT, finish, start, wait_for
from tsn.train.ranks.processes import run_processes
from tsn.train.ranks.stop import stop_requests
from tsn.tsn_shared.errors import DataError, NotFiniteError, SettingsError, TsnError


def rank_or_raise(error: TsnError | None) -> int:
    """Return this process's rank, or raise an error as the last of two."""
    if error is not None and os.environ["RANK"] == "1":
        raise error
    return int(os.environ["RANK"])


@pytest.mark.parametrize(
    "error",
    [
        NotFiniteError("the loss was not finite"),
        pytest.param(DataError("a file: \udcff"), marks=pytest.mark.slow),
        pytest.param(SettingsError("a flag"), marks=pytest.mark.slow),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_ranks_error_comes_back_as_the_same_error(error: TsnError) -> None:
    with pytest.raises(TsnError) as raised:
        run_processes(rank_or_raise, error, processes=2)
    assert type(raised.value) is type(error)
    assert str(raised.value) == str(error)
    assert raised.value.exit_code == error.exit_code


@pytest.mark.slow
def test_what_the_first_rank_returns_comes_back() -> None:
    assert run_processes(rank_or_raise, None, processes=2) == 0


CRASHING = """
import sys
from tests.train.ranks.test_processes import crash
from tsn.train.ranks.processes import run_processes
if __name__ == "__main__":
    try:
        run_processes(crash, sys.argv[1] == "stopped", processes=2)
    except Exception as error:
        notes = "\\n".join(getattr(error, "__notes__", ()))
        sys.exit(f"{type(error).__name__} {error.exit_code}: {error}\\n{notes}")
"""


def crash(when_stopped: bool) -> None:
    """Fail as the second rank does that meets a defect, at once or on being asked to stop."""
    if when_stopped:
        with stop_requests() as stop:
            print("ready", flush=True)
            wait_for(lambda: stop.asked)
    if os.environ["RANK"] == "1":
        raise RuntimeError("a defect")
    if not when_stopped:
        time.sleep(LIMIT)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["at once", "stopped"])
def test_a_failing_ranks_traceback_is_shown_once_also_where_it_was_asked_to_stop(when: str, tmp_path: Path) -> None:
    script = tmp_path / "crashing.py"
    script.write_text(CRASHING)
    process = start([sys.executable, str(script), when], PYTHONPATH=str(ROOT))
    assert process.stdout is not None
    for _ in range(2 if when == "stopped" else 0):
        assert process.stdout.readline() == "ready\n"
    if when == "stopped":
        process.terminate()
    said = finish(process, code=1)
    assert said.count("Traceback (most recent call last)") == 1
    assert said.count("RuntimeError: a defect") == 1
    assert said.startswith("TsnError 1: rank 1 failed:")
