import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch

from tsn.train.fit.checkpoint import (
    BEST,
    FORMAT,
    LAST,
    PREVIOUS,
    VERSION,
    find_checkpoint,
    load_checkpoint,
    load_newest,
    save_checkpoint,
    saved_step,
)
from tsn.tsn_shared.errors import DataError
from tsn.tsn_shared.files import locked


def state(step: int) -> dict[str, Any]:
    return {"step": step, "model": {"w": torch.full((100_000,), float(step))}}


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_checkpoints_come_back_as_they_were(tmp_path: Path) -> None:
    for step in range(3):
        save_checkpoint(tmp_path, state(step), best=step == 1)
    assert [load_checkpoint(tmp_path / name)["step"] for name in (LAST, PREVIOUS, BEST)] == [2, 1, 1]
    assert torch.equal(load_checkpoint(tmp_path / LAST)["model"]["w"], torch.full((100_000,), 2.0))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [name + end for name in (LAST, PREVIOUS, BEST) for end in ("", ".sha256")]
    )


def test_sha256_files_are_what_sha256sum_reads(tmp_path: Path) -> None:
    for step in range(2):
        save_checkpoint(tmp_path, state(step), best=True)
    for name in (LAST, PREVIOUS, BEST):
        subprocess.run(["sha256sum", "--check", "--status", f"{name}.sha256"], cwd=tmp_path, check=True)


@pytest.mark.parametrize("content", ["", "\n", "\udcff"])
def test_a_checkpoint_beside_a_damaged_digest_is_damaged_and_saved_over(content: str, tmp_path: Path) -> None:
    for step in range(2):
        save_checkpoint(tmp_path, state(step), best=False)
    (tmp_path / f"{LAST}.sha256").write_text(content, errors="surrogateescape")
    with pytest.raises(DataError, match="is damaged"):
        load_checkpoint(tmp_path / LAST)
    save_checkpoint(tmp_path, state(2), best=False)
    assert [load_checkpoint(tmp_path / name)["step"] for name in (LAST, PREVIOUS)] == [2, 0]


def test_an_empty_file_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "empty.pt").touch()
    with pytest.raises(DataError, match=r"empty\.pt cannot be read as a checkpoint: "):
        load_checkpoint(tmp_path / "empty.pt")


def test_a_damaged_last_falls_back_to_the_one_before_with_a_warning(tmp_path: Path) -> None:
    for step in range(2):
        save_checkpoint(tmp_path, state(step), best=False)
    flip_a_byte(tmp_path / LAST)
    warnings: list[str] = []
    found = load_newest(tmp_path, warnings.append)
    assert found is not None
    assert (found[0].name, found[1]["step"]) == (PREVIOUS, 0)
    assert len(warnings) == 1
    assert "SHA-256" in warnings[0]
    assert warnings[0].endswith(": previous.pt, the one before, is taken in its place")


def test_nothing_whole_is_an_error_and_nothing_at_all_is_none(tmp_path: Path) -> None:
    assert load_newest(tmp_path, print) is None
    save_checkpoint(tmp_path, state(0), best=False)
    flip_a_byte(tmp_path / LAST)
    with pytest.raises(DataError, match="no whole checkpoint"):
        load_newest(tmp_path, lambda text: None)


def test_the_step_of_the_newest_is_read_without_its_tensors(tmp_path: Path) -> None:
    assert saved_step(tmp_path) is None
    save_checkpoint(tmp_path, state(7), best=False)
    assert saved_step(tmp_path) == 7
    (tmp_path / LAST).write_bytes(b"damaged")
    assert saved_step(tmp_path) is None


def test_what_is_no_checkpoint_is_said_in_one_line(tmp_path: Path) -> None:
    other = tmp_path / "other.pt"
    torch.save({"model": {}}, other)
    with pytest.raises(DataError, match="not a checkpoint of tsn"):
        load_checkpoint(other)
    other.write_bytes(b"not a zip file")
    with pytest.raises(DataError, match="cannot be read"):
        load_checkpoint(other)
    with pytest.raises(DataError, match="does not exist"):
        load_checkpoint(tmp_path / "none.pt")


@pytest.mark.parametrize("version", [VERSION + 1, 0, str(VERSION)])
def test_a_checkpoint_of_another_version_is_not_read(version: Any, tmp_path: Path) -> None:
    torch.save(state(0) | {"format": FORMAT, "version": version}, tmp_path / "other.pt")
    with pytest.raises(DataError, match=rf"other\.pt has version {version}, this tsn reads {VERSION}"):
        load_checkpoint(tmp_path / "other.pt")


def test_a_run_folder_stands_for_its_best(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no checkpoint"):
        find_checkpoint(tmp_path)
    save_checkpoint(tmp_path / "checkpoints", state(0), best=False)
    assert find_checkpoint(tmp_path) == tmp_path / "checkpoints" / LAST
    save_checkpoint(tmp_path / "checkpoints", state(1), best=True)
    assert find_checkpoint(tmp_path) == tmp_path / "checkpoints" / BEST


def test_the_last_is_there_and_whole_at_every_moment(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, state(0), best=False)
    ended = threading.Event()

    def save() -> None:
        for step in range(1, 150):
            save_checkpoint(tmp_path, state(step), best=step % 3 == 0)
        ended.set()

    saver = threading.Thread(target=save)
    saver.start()
    there, steps = [], []
    while not ended.is_set():
        there += [(tmp_path / LAST).exists() for _ in range(100)]
        steps.append(load_checkpoint(tmp_path / LAST)["step"])
    saver.join()
    assert all(there)
    assert steps == sorted(steps)


def test_what_a_killed_save_left_does_not_stand_in_the_way(tmp_path: Path) -> None:
    for name in (LAST, PREVIOUS, BEST):
        (tmp_path / f"{name}.{'0' * 32}.tmp").write_bytes(b"half")
    for step in range(3):
        save_checkpoint(tmp_path, state(step), best=True)
    assert [load_checkpoint(tmp_path / name)["step"] for name in (LAST, PREVIOUS, BEST)] == [2, 1, 2]
    with locked(tmp_path, "busy"):  # as a training holds its run
        pass
    assert not list(tmp_path.glob("*.tmp"))


def test_killed_twice_between_a_checkpoint_and_its_digest_leaves_the_one_before(tmp_path: Path) -> None:
    for step in range(2):
        save_checkpoint(tmp_path, state(step), best=False)
    digest = tmp_path / f"{LAST}.sha256"
    digest.write_text(digest.read_text().translate(str.maketrans("01", "10")))  # the digest of what never arrived
    save_checkpoint(tmp_path, state(2), best=False)
    assert [load_checkpoint(tmp_path / name)["step"] for name in (LAST, PREVIOUS)] == [2, 0]


SAVER = """
import sys, torch
from pathlib import Path
from tsn.train.fit.checkpoint import save_checkpoint
for step in range(1_000_000):
    save_checkpoint(Path(sys.argv[1]), {"step": step, "model": torch.full((100_000,), float(step))}, best=step % 2 == 0)
"""


FULL = """
import resource, sys, torch
from pathlib import Path
from tsn.train.fit.checkpoint import save_checkpoint
save_checkpoint(Path(sys.argv[1]), {"step": 0}, best=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
save_checkpoint(Path(sys.argv[1]), {"step": 1, "model": torch.zeros(100_000)}, best=True)
"""


@pytest.mark.parametrize("size", [10, 1_000, 200_000])
def test_a_full_disk_is_told_and_leaves_the_checkpoint_before(size: int, tmp_path: Path) -> None:
    words = [sys.executable, "-c", FULL, str(tmp_path), str(size)]
    done = subprocess.run(words, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"tsn.tsn_shared.errors.TsnError: {tmp_path} cannot be written: ")
    assert last.endswith("and go on with --resume")
    assert [load_checkpoint(tmp_path / name)["step"] for name in (LAST, BEST)] == [0, 0]
    assert not list(tmp_path.glob("*.tmp"))


def test_killed_at_every_file_operation_of_saving_and_resumed_a_run_ends_as_if_left_alone(tmp_path: Path) -> None:
    """The same files with the same bytes: best.pt, last.pt, previous.pt, their SHA-256 and the history."""
    with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else tmp_path) as memory:
        words = [sys.executable, str(Path(__file__).parents[1] / "killed_saves.py"), memory]
        root = Path(__file__).parents[3]
        done = subprocess.run(
            words, cwd=root, env=os.environ | {"PYTHONPATH": str(root)}, capture_output=True, text=True
        )
    kills, _, differing = done.stdout.partition(" ")
    assert done.returncode == 0, done.stderr
    assert differing == "[]\n"
    assert int(kills) > 200


@pytest.mark.slow  # at every file operation in turn is tested above
def test_killed_at_any_moment_a_whole_checkpoint_is_left(tmp_path: Path) -> None:
    rng = random.Random(0)
    for _ in range(4):
        saver = subprocess.Popen([sys.executable, "-c", SAVER, str(tmp_path)], cwd=Path(__file__).parents[3])
        begun = time.monotonic()
        while not (tmp_path / PREVIOUS).exists() and time.monotonic() - begun < 60:
            time.sleep(0.02)
        time.sleep(rng.random() * 0.3)
        os.kill(saver.pid, signal.SIGKILL)
        saver.wait()
        found = load_newest(tmp_path, lambda text: None)
        assert found is not None
        assert torch.equal(found[1]["model"], torch.full((100_000,), float(found[1]["step"])))
        for path in tmp_path.iterdir():
            path.unlink()
