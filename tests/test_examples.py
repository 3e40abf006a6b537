"""The examples of the loader and of shards run as they are; those of answers are in tests/train/answers."""

import re
import runpy
from pathlib import Path

import pytest

from tests.conftest import Dataset

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def beside_data(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder that holds data/frames and data/splits."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "frames").symlink_to(dataset.frames)
    (tmp_path / "data" / "splits").symlink_to(dataset.splits)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("beside_data")
def test_the_loader_serves_a_loop_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "own_loop.py"))
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["step 0", "step 1", "step 2"]
    assert all(0 < float(line.split()[-1]) < 10 for line in lines)


@pytest.mark.usefixtures("beside_data")
def test_every_frame_of_a_shard_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "read_shard.py"))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 24
    assert all(re.fullmatch(r"\w+/v_\w+ \(\d+, 256, 340, 3\) 25 frames/s", line) for line in lines)


def test_every_example_is_run_by_a_test_and_named_for_readers() -> None:
    root, answers = EXAMPLES.parent, Path("tests", "train", "answers")
    texts = "".join((root / name).read_text() for name in ("README.md", "docs/answers.md"))
    run_by = [root / answers / f"test_{name}.py" for name in ("export", "features", "over_time", "predictor")]
    tests = "".join(path.read_text() for path in (Path(__file__), *run_by))
    for path in EXAMPLES.glob("*.py"):
        assert f"examples/{path.name}" in texts
        assert path.stem in tests
