"""A library call is silent and can be made to speak; a command speaks, and refuses soon what cannot be."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Dataset
from tsn.tsn_shared.console import LOG, speaking

ROOT = Path(__file__).parents[1]

CALLS = """
import logging, sys
from pathlib import Path
from tsn.pipeline.extract.run import extract_frames
from tsn.pipeline.splits.build import build_splits
from tsn.tsn_shared.settings import ExtractSettings, SplitsSettings
videos, lists, out, listens = sys.argv[1:]
if listens == "yes":
    logging.basicConfig(level=logging.INFO, format="%(name)s %(levelname)s: %(message)s")
extract_frames(Path(videos), ExtractSettings(out=Path(out) / "frames"))
build_splits(Path(lists), SplitsSettings(frames=Path(out) / "frames", out=Path(out) / "splits"))
"""


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *map(str, words)], cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("listens", ["no", "yes"])
def test_extracting_and_building_are_silent_unless_a_program_listens(
    dataset: Dataset, tmp_path: Path, listens: str
) -> None:
    done = run("-c", CALLS, dataset.videos, dataset.annotations, tmp_path, listens)
    assert (done.returncode, done.stdout) == (0, "")
    said = done.stderr.splitlines()
    if listens == "no":
        assert said == []
    else:
        assert f"tsn INFO: {tmp_path}/frames: 196 frames of 24 videos in 1 shard" in done.stderr
        assert all(line.startswith(("tsn INFO: ", "tsn WARNING: warning: ")) for line in said)


def test_the_command_speaks_each_line_once(dataset: Dataset, tmp_path: Path) -> None:
    done = run("-m", "tsn", "extract-frames", dataset.videos, "--out", tmp_path)
    said = done.stderr.splitlines()
    assert done.returncode == 0, done.stderr
    assert sum(line.startswith(f"{tmp_path}: 196 frames of 24 videos in 1 shard") for line in said) == 1
    assert not any(line.startswith("INFO") for line in said)


def test_words_are_as_before_once_a_command_is_over(capfd: pytest.CaptureFixture[str]) -> None:
    handlers, state = list(LOG.handlers), (LOG.level, LOG.propagate)
    with speaking(), speaking():
        LOG.info("once")
    assert (LOG.handlers, (LOG.level, LOG.propagate)) == (handlers, state)
    assert capfd.readouterr().err == "once\n"


REFUSED = (
    (["--lr-mode", "linear"], 2, "'linear' is not one of"),
    (["--lr", "1e30", "--lr-decay", "1e9"], 2, "it grows beyond"),
    (["--gpus", "0", "--run", "a_file"], 2, "a_file cannot be written: Not a directory: set another --run"),
    (["--resume", "nothing"], 2, "nothing is not a run folder"),
    (["--resume", "auto"], 2, "name the run with --run DIR"),
    (["--splits", "nothing"], 4, "nothing does not exist: run tsn build-splits"),
    (["--frames", "nothing", "--run", "run"], 4, "nothing does not exist: name the folder of frames"),
    (["--num-classes", "2", "--run", "run"], 2, "--num-classes 2: "),
    (["--gpus", "0", "--num-processes", "2", "--batch-size", "10"], 2, "a step of 20 clips is more than the 18"),
)

COMMANDS = """
import json, sys
from tsn.cli import main
for words in json.loads(sys.argv[1]):
    sys.argv = ["tsn", "train", *words]
    try:
        main()
    except SystemExit as end:
        print(end.code, "torch" in sys.modules, flush=True)
        print("=", file=sys.stderr)
"""


def test_what_cannot_be_is_refused_before_torch_is_loaded(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "a_file").touch()
    there = os.environ | {"TSN_TRAIN_FRAMES": str(dataset.frames), "TSN_TRAIN_SPLITS": str(dataset.splits)}
    command = [sys.executable, "-c", COMMANDS, json.dumps([words for words, _, _ in REFUSED])]
    done = subprocess.run(command, cwd=tmp_path, env=there, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines() == [f"{code} False" for _, code, _ in REFUSED], done.stderr
    for told, (_, _, said) in zip(done.stderr.split("=\n"), REFUSED, strict=False):
        assert said in told
        assert "Traceback" not in told
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["a_file"]
