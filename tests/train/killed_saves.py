"""Kill each save of a short run before each of its file operations in turn; resume; print how often, and what differs.

A process of its own: it forks, which no process with threads should.
"""

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from tsn.train.fit import checkpoint
from tsn.train.fit.checkpoint import load_newest, restore_best, save_checkpoint
from tsn.train.fit.folder import RunFolder
from tsn.train.history import Row, best_row, rows_of
from tsn.tsn_shared.files import TEMPORARY

OPERATIONS = {
    *("open", "write", "close", "fsync", "mkdir", "replace", "rename", "link", "unlink", "chmod", "truncate"),
    *("sendfile", "copy_file_range", "write_record", "write_end_of_file"),
}
SCORES = (0.2, 0.6, 0.4)


def rows(count: int) -> list[Row]:
    speed = {"clips_per_second": 1.0, "data_wait_share": 0.0, "seconds": 1.0}
    trained = {"lr": 0.1, "train_loss": 1.0, "train_top1": 0.5, "val_loss": 1.0, "val_top5": 1.0} | speed
    return [Row(epoch=epoch, step=2 * epoch, val_top1=SCORES[epoch], **trained) for epoch in range(count)]


def states() -> list[dict[str, Any]]:
    """Return what a run saves: at the end of every epoch, and in the midst of the second."""
    return [
        {"model": torch.full((50,), float(step)), "step": step, "tally": {"clips": (step + 1) % 2}}
        | {"history": [row.plain() for row in rows((step + 1) // 2)]}
        for step in (1, 2, 3, 5)
    ]


def save(folder: Path, state: dict[str, Any]) -> None:
    """Save as a run does."""
    save_checkpoint(folder / "checkpoints", state, best=is_best(state))
    RunFolder(folder, writes=True).write_history(rows_of(state["history"], ""))


def is_best(state: dict[str, Any]) -> bool:
    """Whether a state is that of the end of the best epoch so far."""
    history = rows_of(state["history"], "")
    return not state["tally"]["clips"] and best_row(history) is history[-1]


def killed_at(number: int, folder: Path, state: dict[str, Any]) -> bool:
    """Save in a process that is killed before its file operation of this number; return whether there was one."""
    child = os.fork()
    if child == 0:
        left = number

        def count(frame: Any, event: str, called: Any) -> None:
            nonlocal left
            if event == "c_call" and called.__name__ in OPERATIONS:
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count)
        save(folder, state)
        sys.setprofile(None)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def resume(folder: Path) -> None:
    """Go on to the end as a run does."""
    found = load_newest(folder / "checkpoints", lambda warning: None)
    if found is not None:
        RunFolder(folder, writes=True).write_history(rows_of(found[1]["history"], ""))
        restore_best(folder / "checkpoints", found[0], is_best=is_best(found[1]))
    for state in states():
        if found is None or state["step"] > found[1]["step"]:
            save(folder, state)


def content(folder: Path) -> dict[str, bytes]:
    """Return the files of a run by name, without what is half-written: whoever holds the folder removes that."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != TEMPORARY)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def main(folder: Path) -> None:
    checkpoint.RENAME_SECONDS = 0.0  # nobody saves at the same time
    whole, before, killed = folder / "whole", folder / "before", folder / "killed"
    resume(whole)
    kills, differing = 0, []
    before.mkdir()
    for place, state in enumerate(states()):
        number = 0
        while True:
            shutil.copytree(before, killed)
            if not killed_at(number, killed, state):
                break
            resume(killed)
            there, wanted = content(killed), content(whole)
            differing += [
                (place, number, name) for name in there.keys() | wanted if there.get(name) != wanted.get(name)
            ]
            shutil.rmtree(killed)
            number += 1
        kills += number
        shutil.rmtree(before)
        killed.rename(before)
    print(kills, differing)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
