import platform
import re
import sys
from functools import partial
from pathlib import Path

import click
import pytest

from benchmarks import common
from benchmarks.common import interleaved, machine, ratios, report, run, spread, timed
from tsn.tsn_shared.errors import DataError, SettingsError, TsnError


def test_machine_is_described_without_names_or_paths() -> None:
    words = machine()
    assert "cores" in words
    assert "GiB" in words
    assert f"Python {platform.python_version()}" in words
    assert "torch " in words
    assert platform.node() not in words
    assert str(Path.cwd()) not in words


def test_ways_take_turns() -> None:
    order: list[str] = []

    def way(name: str) -> float:
        order.append(name)
        return float(len(order))

    figures = interleaved({name: partial(way, name) for name in "ab"}, rounds=3)
    assert "".join(order) == "abbaab"
    assert figures == {"a": [1, 4, 5], "b": [2, 3, 6]}


def test_a_ratio_is_of_the_same_round_and_its_spread_is_said() -> None:
    assert ratios([2, 30, 500], [1, 10, 100]) == [2, 3, 5]
    assert spread([2, 5, 3], 1) == "3.0 (2.0 to 5.0)"
    assert spread([1200.4]) == "1,200 (1,200 to 1,200)"


def test_a_call_is_timed_after_a_run_up_and_at_least_thrice() -> None:
    calls: list[int] = []
    wall, cpu = timed(lambda: calls.append(sum(range(10_000))), seconds=0)
    assert len(calls) == 9
    assert wall > 0
    assert cpu > 0


@pytest.mark.parametrize(("error", "code"), [(SettingsError, 2), (DataError, 4)])
def test_what_its_user_can_mend_is_one_line_and_an_exit_code(
    error: type[TsnError], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def command() -> None:
        raise error("a\nb does not exist")

    monkeypatch.setattr(sys, "argv", ["command"])
    with pytest.raises(SystemExit) as end:
        run(command)
    assert end.value.code == code
    assert capsys.readouterr() == ("", "a\\nb does not exist\n")


def test_result_is_written_under_its_name_if_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    for write in (False, True):
        assert list(tmp_path.iterdir()) == []
        report("loader", "The loader\nOf two\nlines.", ["a"], [["b"]], write=write)
    text = (tmp_path / "loader.md").read_text()
    assert re.match(r"# The loader\n\n\d{4}-\d\d-\d\d\. Of two\nlines\.\n\n", text)
    assert text.endswith("| a |\n| - |\n| b |\n")
