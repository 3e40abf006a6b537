"""Processes under limits: what is opened, what comes through, and that nothing of them is left."""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tsn.pipeline.extract.ffmpeg_run import (
    Limits,
    Output,
    VideoError,
    VideoStoppedError,
    memory_file,
    never,
    open_video,
    read_whole,
    running,
)


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


def run(code: str, *, files: Sequence[int] = (), limits: Limits | None = None) -> tuple[bytes, int, Output]:
    limits = limits or Limits()
    with running(python(code), files, limits) as process:
        output = Output(process, never, limits)
        text, buffer = b"", bytearray(1 << 16)
        while count := output.readinto(buffer):
            text += buffer[:count]
        return text, output.finish(), output


def test_what_a_process_writes_comes_whole_with_its_errors_and_its_code() -> None:
    code = (
        "import sys; sys.stdout.write('x' * 3_000_000); sys.stderr.write('[error] first\\n[error] last'); sys.exit(7)"
    )
    text, status, output = run(code)
    assert (len(text), status, output.errors.count, str(output.errors)) == (3_000_000, 7, 2, "first")


def test_a_process_gets_the_open_files_that_it_is_given_and_no_input(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"content")
    with open_video(tmp_path / "x") as video, memory_file() as marks:
        code = (
            f"import os, sys; os.write({marks}, b'mark'); os.write(1, os.read({video}, 99) + sys.stdin.buffer.read())"
        )
        text, status, _ = run(code, files=(video, marks))
        assert (text, status, read_whole(marks)) == (b"content", 0, b"mark")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import time; time.sleep(60)", "gave no frame for 0.3 s"),
        ("import os, time; os.write(1, b'x'); os.close(1); time.sleep(60)", "did not end within 0.3 s"),
    ],
)
def test_a_process_that_hangs_is_given_up_and_gone(code: str, words: str) -> None:
    with pytest.raises(VideoError, match=words):
        run(code, limits=Limits(stall_seconds=0.3))


def test_a_process_that_gives_other_signs_of_life_is_waited_for() -> None:
    counts = iter(range(1 << 20))
    limits = Limits(stall_seconds=0.3)
    with running(python("import time; time.sleep(1); print(end='x')"), (), limits) as process:
        output = Output(process, never, limits, pulse=lambda: next(counts))
        assert output.readinto(bytearray(9)) == 1


def test_a_process_and_its_children_end_with_the_context(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); time.sleep(60)"
    )
    with running(python(code), (), Limits()) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
    assert process.returncode == -signal.SIGKILL
    begun = time.monotonic()
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split(")")[1][:3]:
        assert time.monotonic() - begun < 5
        time.sleep(0.02)


def test_memory_is_limited() -> None:
    _, status, _ = run("x = bytearray(1 << 29)", limits=Limits(memory_bytes=1 << 28))
    assert status == 1


def test_a_stop_ends_the_reading() -> None:
    with running(python("import time; time.sleep(60)"), (), Limits()) as process, pytest.raises(VideoStoppedError):
        Output(process, lambda: True, Limits()).readinto(bytearray(10))


def test_what_cannot_be_a_video_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dangling").symlink_to("nowhere")
    reasons = {"empty": "an empty file", "fifo": "not a regular file", ".": "a folder", "dangling": "a link to nothing"}
    for name, reason in (
        reasons | {"absent": "no such file", "x" * 300: "it cannot be read: File name too long"}
    ).items():
        with pytest.raises(VideoError, match=f"^{reason}$"), open_video(tmp_path / name):
            pass
