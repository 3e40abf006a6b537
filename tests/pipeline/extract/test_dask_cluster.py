"""Extraction by a real Dask cluster, its scheduler and workers started as its documentation says."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tsn.pipeline.extract.run import extract_frames
from tsn.pipeline.synthetic import CLASSES, VIDEOS, make_dataset
from tsn.tsn_shared.errors import SettingsError, TsnError
from tsn.tsn_shared.files import sha256
from tsn.tsn_shared.settings import ExtractSettings
from tsn.tsn_shared.shards import find_shards

pytest.importorskip("distributed")
ROOT = Path(__file__).parents[3]
DASK = str(Path(sys.executable).parent / "dask")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Longer videos than elsewhere, so that a worker can be killed half-way."""
    folder = tmp_path_factory.mktemp("videos")
    make_dataset(folder, classes=CLASSES[:2], groups=4, clips=2, frames=(60, 120))
    return folder / VIDEOS


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list["subprocess.Popen[bytes]"]]]:
    """A scheduler and two workers that have tsn; gives the address and their processes in this order."""
    with started_cluster(tmp_path, tmp_path) as started:
        yield started


@contextmanager
def started_cluster(tmp_path: Path, path: Path) -> Iterator[tuple[str, list["subprocess.Popen[bytes]"]]]:
    """Start a scheduler and two workers with this PYTHONPATH."""
    environment = os.environ | {"PYTHONPATH": str(path)}
    log = tmp_path / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment, "cwd": tmp_path}
    scheduler = subprocess.Popen(
        [DASK, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(log)],
        **quiet,  # type: ignore[call-overload]
    )
    processes = [scheduler]
    try:
        for _ in range(2):
            words = ["worker", "--scheduler-file", str(log), "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny"]
            processes.append(
                subprocess.Popen([DASK, *words, "--no-dashboard", "--local-directory", str(tmp_path)], **quiet)  # type: ignore[call-overload]
            )
        begun = time.monotonic()
        while not log.exists() or not log.read_text().strip().endswith("}"):
            assert time.monotonic() - begun < 60
            time.sleep(0.1)
        yield json.loads(log.read_text())["address"], processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def digests(out: Path) -> dict[str, str]:
    return {path.name: sha256(path) for path in find_shards(out)}


def test_a_worker_is_killed_half_way_and_the_bytes_are_the_same(
    cluster: tuple[str, list["subprocess.Popen[bytes]"]], videos: Path, tmp_path: Path
) -> None:
    address, (_, worker, _) = cluster
    quiet, out = tmp_path / "quiet", tmp_path / "frames"
    extract_frames(videos, ExtractSettings(out=quiet, videos_per_shard=2))
    words = ["extract-frames", str(videos), "--out", str(out), "--videos-per-shard", "2", "--dask", address]
    process = subprocess.Popen([sys.executable, "-m", "tsn", *words], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    begun = time.monotonic()
    while len(find_shards(out)) < 2 and process.poll() is None and time.monotonic() - begun < 60:
        time.sleep(0.01)
    there = len(find_shards(out))
    worker.kill()
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert 2 <= there < 8  # so it was half-way
    assert digests(out) == digests(quiet)
    assert not list(out.glob("*.tmp"))


def test_ctrl_c_is_one_line_and_leaves_the_cluster_at_work_for_the_next(
    cluster: tuple[str, list["subprocess.Popen[bytes]"]], videos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "frames"
    words = ["extract-frames", str(videos), "--out", str(out), "--videos-per-shard", "2", "--dask", cluster[0]]
    process = subprocess.Popen([sys.executable, "-m", "tsn", *words], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    begun = time.monotonic()
    while not find_shards(out) and time.monotonic() - begun < 60:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "tsn: interrupted" in said.splitlines(), said
    assert "Traceback" not in said, said
    extract_frames(videos, ExtractSettings(out=out, videos_per_shard=2, dask=cluster[0]))
    assert len(find_shards(out)) == 8


def test_workers_without_tsn_are_one_line(videos: Path, tmp_path: Path) -> None:
    without = tmp_path / "without"
    without.mkdir()
    (without / "tsn.py").touch()  # another module of the name, as where tsn is not installed
    wanted = r"--dask tcp://.*: the scheduler and its workers need the same Python"
    with started_cluster(tmp_path, without) as (address, _), pytest.raises(TsnError, match=wanted):
        extract_frames(videos, ExtractSettings(out=tmp_path / "frames", dask=address))


def test_no_scheduler_is_one_line(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tsn.pipeline.extract.dask_cluster.ANSWER_SECONDS", 1)
    with pytest.raises(SettingsError, match=r"--dask tcp://127\.0\.0\.1:9: no scheduler answers there"):
        extract_frames(videos, ExtractSettings(out=tmp_path, dask="tcp://127.0.0.1:9"))


def test_without_dask_one_line_says_what_to_install(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SettingsError, match=r"pip install '\.\[dask\]'"):
        extract_frames(videos, ExtractSettings(out=tmp_path, dask="tcp://127.0.0.1:9"))


SOON = """
import sys
from pathlib import Path
import tsn.pipeline.extract.dask_cluster as module
from tsn.cli import main

module.ANSWER_SECONDS, module.LOOK_SECONDS, module.WORKER_SECONDS = 3.0, 0.2, float(sys.argv.pop(1))
submit = module._Cluster.submit

def noted(*words):
    future = submit(*words)
    handed.touch()
    return future

handed = Path(sys.argv.pop())
module._Cluster.submit = noted
main()
"""


def stop_workers(cluster: tuple[str, list["subprocess.Popen[bytes]"]]) -> None:
    """Stop the workers, once the scheduler knows them, so that no job ends; whoever kills them may."""
    from distributed import Client

    address, (_, *workers) = cluster
    with Client(address) as client:  # type: ignore[no-untyped-call]
        client.wait_for_workers(len(workers), timeout=60)
    for worker in workers:
        os.kill(worker.pid, signal.SIGSTOP)


def said_after(then: Callable[[], None], address: str, videos: Path, folder: Path, *, patience: float) -> list[str]:
    """Extract by a cluster, do `then` once jobs are handed in; return what was said."""
    handed = folder / "handed"
    words = ["extract-frames", str(videos), "--out", str(folder / "frames"), "--videos-per-shard", "2"]
    process = subprocess.Popen(
        [sys.executable, "-c", SOON, str(patience), *words, "--dask", address, str(handed)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    begun = time.monotonic()
    while not handed.exists() and process.poll() is None and time.monotonic() - begun < 60:
        time.sleep(0.02)
    then()
    try:
        _, said = process.communicate(timeout=90)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 1, said
    return said.splitlines()


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.slow)])
def test_a_scheduler_that_dies_or_hangs_is_one_line_in_bounded_time(
    cluster: tuple[str, list["subprocess.Popen[bytes]"]], videos: Path, tmp_path: Path, number: signal.Signals
) -> None:
    address, (scheduler, *_) = cluster
    stop_workers(cluster)
    said = said_after(lambda: os.kill(scheduler.pid, number), address, videos, tmp_path, patience=1000)
    assert said == [f"tsn: --dask {address}: the scheduler is lost: start one and run again, finished shards are kept"]


def test_workers_that_die_and_never_come_back_are_one_line_in_bounded_time(
    cluster: tuple[str, list["subprocess.Popen[bytes]"]], videos: Path, tmp_path: Path
) -> None:
    address, (_, *workers) = cluster

    def kill() -> None:
        for worker in workers:
            worker.kill()

    stop_workers(cluster)
    said = said_after(kill, address, videos, tmp_path, patience=2)
    assert said == [
        f"--dask {address}: no worker is connected there: one is waited for, 2 s at most",
        f"tsn: --dask {address}: no worker was connected for 2 s: start some and run again, finished shards are kept",
    ]


def test_a_socket_that_never_answers_is_one_line(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tsn.pipeline.extract.dask_cluster.ANSWER_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:  # it accepts, by itself, and says nothing
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(SettingsError, match=f"--dask {address}: no scheduler answers there"):
            extract_frames(videos, ExtractSettings(out=tmp_path, dask=address))
