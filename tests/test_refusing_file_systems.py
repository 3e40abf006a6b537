"""All commands on a file system that refuses locks, hard links and a folder's fsync, made by a shim before libc."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Dataset
from tsn.tsn_shared.files import LOCK, TEMPORARY

ROOT = Path(__file__).parent.parent
REFUSALS = [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EPERM, errno.EINVAL]

COMMANDS = """
import os, sys
from pathlib import Path
from tsn.cli import tsn
from tsn.tsn_shared import files
from tsn.tsn_shared.console import speaking

videos, folder, numbers = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
os.environ["OMP_NUM_THREADS"] = "1"
for number in numbers:
    os.environ["TSN_TEST_REFUSE"] = number
    files._warned.clear()
    sys.stderr.write(f"errno {number}\\n")
    at = folder / number
    places = ["--frames", f"{at}/frames", "--splits", f"{at}/splits"]
    how = ["--gpus", "0", "--model", "resnet18", "--weights", "none", "--input-size", "32", "--batch-size", "2"]
    commands = [
        ["extract-frames", videos, "--out", f"{at}/frames"],
        ["build-splits", "--split-by", "video", "--frames", f"{at}/frames", "--out", f"{at}/splits"],
        ["verify", f"{at}/frames", f"{at}/splits"],
    ]
    if number == numbers[0]:  # what these read and write goes the same ways
        commands += [
            ["show-batch", *places, "--batch-size", "2", "--out", f"{at}/batch.png"],
            ["train", *places, *how, "--num-epochs", "1", "--run", f"{at}/run"],
            ["evaluate", f"{at}/run", "--gpus", "0"],
            ["features", f"{at}/run", f"{at}/features.h5", "--gpus", "0"],
            ["predict", f"{at}/run", videos, "--gpus", "0", "--png", f"{at}/answers"],
        ]
    for words in commands:
        with speaking():
            tsn.main(words, prog_name="tsn", standalone_mode=False)
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to make the shim with; tests/tsn_shared/test_files.py holds the same in one process")
    path = tmp_path_factory.mktemp("shim") / "refuse.so"
    words = [compiler, "-shared", "-fPIC", "-O1", "-o", str(path), str(ROOT / "tests" / "refuse.c"), "-ldl"]
    subprocess.run(words, check=True)
    return path


@pytest.mark.slow  # tests/tsn_shared/test_files.py holds the same in one process
def test_reading_and_writing_work_where_locks_and_links_are_refused(
    shim: Path, dataset: Dataset, tmp_path: Path
) -> None:
    videos = tmp_path / "videos"
    for path in sorted(dataset.videos.rglob("*_c01.avi"))[:6]:
        target = videos / path.relative_to(dataset.videos)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    words = [sys.executable, "-c", COMMANDS, str(videos), str(tmp_path), *map(str, REFUSALS)]
    environment = os.environ | {"LD_PRELOAD": str(shim)}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    parts = done.stderr.split("errno ")[1:]
    assert len(parts) == len(REFUSALS)
    for number, said in zip(REFUSALS, parts, strict=True):
        at = tmp_path / str(number)
        kinds = ["locks are", "fsync is"] + ["hard links are"] * (number == REFUSALS[0])
        for kind in kinds:
            assert said.count(f"{kind} refused here ({os.strerror(number)}): ") == 1, said  # none: there was no shim
        assert not [path for path in at.rglob("*") if path.name.endswith((TEMPORARY, LOCK))]
    first = tmp_path / str(REFUSALS[0])
    assert (first / "run" / "checkpoints" / "best.pt").exists()
    assert len(list((first / "answers").glob("*.png"))) == 6
