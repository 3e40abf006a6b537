import os
import shutil
from pathlib import Path

import pytest

from tests.conftest import Dataset
from tsn.pipeline.extract.bench import STAGES, bench_extract, extract_bench_text
from tsn.tsn_shared.errors import DataError
from tsn.tsn_shared.settings import ExtractSettings


def test_every_stage_has_a_cost_and_the_longest_is_named(dataset: Dataset) -> None:
    result = bench_extract(dataset.videos, ExtractSettings(out=dataset.frames, jobs=1), seconds=0.8)
    assert tuple(result.stages) == STAGES
    assert all(cost >= 0 for cost in result.stages.values())
    assert result.stages["decode"] > 0
    assert result.frames_per_second > 0
    assert result.stages[result.short] == max(result.stages.values())
    assert f"is to {result.short}" in extract_bench_text(result)


def test_it_leaves_the_shards_alone(dataset: Dataset) -> None:
    before = {path.name for path in dataset.frames.iterdir()}
    bench_extract(dataset.videos, ExtractSettings(out=dataset.frames, jobs=1), seconds=0.1)
    assert {path.name for path in dataset.frames.iterdir()} == before


def test_what_is_no_file_is_passed_over(dataset: Dataset, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.avi")
    with pytest.raises(DataError, match="holds no video that is a file"):
        bench_extract(tmp_path, ExtractSettings(out=tmp_path, jobs=1), seconds=0.1)
    shutil.copy(next(dataset.videos.rglob("*.avi")), tmp_path)
    assert bench_extract(tmp_path, ExtractSettings(out=tmp_path, jobs=1), seconds=0.1).frames_per_second > 0
