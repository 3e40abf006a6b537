import platform
from pathlib import Path

import pytest

from benchmarks import common
from benchmarks.common import interleaved, machine, write_result


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

    figures = interleaved({name: lambda name=name: way(name) for name in "ab"}, rounds=3)  # type: ignore[misc]
    assert "".join(order) == "abbaab"
    assert figures == {"a": [1, 4, 5], "b": [2, 3, 6]}


def test_result_is_written_under_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "RESULTS", tmp_path / "results")
    assert write_result("loader", "| a |\n\n").read_text() == "| a |\n"
