"""Checkpoints: all of a run that its next step depends on, never half-written and never read damaged.

`last.pt` is the newest, `previous.pt` the one before, `best.pt` the best so far; beside each lies its SHA-256. They
hold tensors and plain Python, so they load with `weights_only=True`.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from tsn.train.fit.folder import BEST as BEST
from tsn.train.fit.folder import LAST as LAST
from tsn.train.fit.folder import PREVIOUS as PREVIOUS
from tsn.train.network.archive import read_pt
from tsn.tsn_shared import schema
from tsn.tsn_shared.errors import DataError
from tsn.tsn_shared.files import name_as_well, read_bounded, replacing, sha256, write_text, writing
from tsn.tsn_shared.nearest import absent

FORMAT, VERSION = "tsn-checkpoint", 1

RENAME_SECONDS = 0.5
"""Longer than lies between a checkpoint's rename and its digest's."""


def save_checkpoint(folder: Path, content: Mapping[str, object], *, best: bool) -> None:
    """Write `last.pt`, keep the one before as `previous.pt`, and name it `best.pt` as well if it is.

    Killed at any instant, this leaves at least one whole checkpoint with its SHA-256.
    """
    with writing(folder, "put that right", then=" and go on with --resume"):
        folder.mkdir(parents=True, exist_ok=True)
        _save(folder, {"format": FORMAT, "version": VERSION, **content}, best)


def _save(folder: Path, content: Mapping[str, object], best: bool) -> None:
    last = folder / LAST
    with replacing(last) as temporary:
        try:
            with temporary.open("wb") as file:  # not by its name, which torch would write into it
                torch.save(content, file)
        except RuntimeError:  # it does not say why
            raise OSError("not all of a file was written, is the disk full?") from None
        digest = sha256(temporary)
        if last.exists() and _read_digest(last) and _whole(last):  # else the one before is all there is
            _name_as_well(last, folder / PREVIOUS, _read_digest(last))
        _write_digest(last, digest)
    if best:
        _name_as_well(last, folder / BEST, digest)


def _name_as_well(last: Path, name: Path, digest: str) -> None:
    """Give `last` a second name: checkpoints are never changed in place, so both may share one file.

    It keeps its own, which a reader may ask for at any time.
    """
    with replacing(name) as temporary:
        temporary.unlink(missing_ok=True)  # of a process that was killed here
        name_as_well(last, temporary)
        _write_digest(name, digest)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU after checking its SHA-256; DataError says what is wrong.

    What it holds is checked by `tsn.train.fit.contents`.
    """
    if not path.is_file():
        raise DataError(absent(path))
    if not _whole(path):
        raise DataError(f"{path} is damaged: its SHA-256 is not that of {_digest_file(path).name}")
    state = read_pt(path, whole=_digest_file(path).exists())
    kind, version = (state.get(name) if isinstance(state, dict) else None for name in ("format", "version"))
    if not isinstance(kind, str) or kind != FORMAT:
        raise DataError(f"{path} is not a checkpoint of tsn")
    if not isinstance(version, int) or version != VERSION:
        raise DataError(f"{path} has version {schema.word(version)}, this tsn reads {VERSION}")
    return dict(state)


def load_newest(folder: Path, warn: Callable[[str], None]) -> tuple[Path, dict[str, Any]] | None:
    """Read the newest whole checkpoint of a run, None where there is none at all; of a damaged one before it, warn."""
    damage = list[str]()
    for path in (folder / LAST, folder / PREVIOUS):
        if not path.exists():
            continue
        try:
            found = path, load_checkpoint(path)
        except DataError as error:
            damage.append(str(error))
            continue
        for words in damage:
            warn(f"warning: {words}: {path.name}, the one before, is taken in its place")
        return found
    if damage:
        raise DataError(f"{folder} holds no whole checkpoint: {'; '.join(damage)}")
    return None


def saved_step(folder: Path) -> int | None:
    """Return the step of a run's newest checkpoint, None where that cannot be read; its SHA-256 is not looked at."""
    try:
        state = read_pt(folder / LAST, whole=True, mapped=True)
    except DataError:
        return None
    step = state.get("step") if isinstance(state, dict) else None
    return step if isinstance(step, int) else None


def restore_best(folder: Path, newest: Path, *, is_best: bool) -> None:
    """Bring the names of a run's checkpoints to what they are after its newest was saved, wherever that was killed.

    Where the newest is that of the best epoch so far (`is_best`), `best.pt` is its second name. Hold the folder.
    """
    with writing(folder, "put that right", then=" and go on with --resume"):
        name, digest = folder / BEST, _read_digest(newest) or sha256(newest)
        if is_best and not (name.exists() and _read_digest(name) == digest and _whole(name)):
            _name_as_well(newest, name, digest)


def find_checkpoint(path: Path) -> Path:
    """Return the checkpoint that a user names: a file, or the best of a run folder."""
    if not path.is_dir():
        return path
    for name in (BEST, LAST):
        for folder in (path / "checkpoints", path):
            if (folder / name).exists():
                return folder / name
    raise DataError(f"{path} holds no checkpoint: name a run folder or a .pt file")


def _whole(path: Path) -> bool:
    """Return whether a file has the SHA-256 that lies beside it, if one does.

    A training replaces first the file and then its digest: only a pair that does not change meanwhile is damaged.
    """
    if not _digest_file(path).exists():
        return True
    while True:
        seen = path.stat().st_ino, _read_digest(path)
        if sha256(path) == _read_digest(path):
            return True
        time.sleep(RENAME_SECONDS)
        if (path.stat().st_ino, _read_digest(path)) == seen:
            return False


def _read_digest(path: Path) -> str:
    """Return the SHA-256 that lies beside a file; nothing where there is none."""
    beside = _digest_file(path)
    try:
        return read_bounded(beside, 4096).decode("utf-8", errors="replace").partition(" ")[0]
    except OSError:
        return ""


def _digest_file(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _write_digest(path: Path, digest: str) -> None:
    write_text(_digest_file(path), f"{digest}  {path.name}\n")  # as sha256sum -c reads it
