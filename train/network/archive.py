"""Files of tensors, read without trust: a .pt costs no more memory than it has bytes, and runs no code.

torch reads a .pt with `weights_only=True`, which runs nothing; but it inflates what is deflated, makes as many bytes as
a `bytearray` says, and checks none of the CRC32s that it writes. So the archive is looked through before.
"""

import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from tsn.tsn_shared.errors import DataError, brief
from tsn.tsn_shared.files import open_regular
from tsn.tsn_shared.nearest import absent

PLAIN = frozenset({"collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"})
"""What a file of plain tensors is made of, besides storages."""

OLD_PICKLES = 5
"""Before torch 1.6 a file was pickles one after the other, then the storages: torchvision's VGG16 still is one."""


def read_pt(path: Path, what: str = "a checkpoint", *, whole: bool = False, mapped: bool = False) -> Any:
    """Read a file of torch.save onto the CPU: tensors and plain Python; DataError where it is not `what`.

    Unless it is known to be `whole`, by its SHA-256, the CRC32 of every part is checked. The tensors of one that is
    `mapped` stay in the file: they are not read before they are looked at.
    """
    try:
        with open_regular(path) as file:
            if zipfile.is_zipfile(file):
                _check_archive(file, whole=whole)
            else:
                file.seek(0)
                for _ in range(OLD_PICKLES):
                    _check_pickle(file)
            file.seek(0)
            return torch.load(path if mapped else file, map_location="cpu", weights_only=True, mmap=mapped)
    except FileNotFoundError:
        raise DataError(absent(path)) from None
    except Exception as error:  # of a hostile file torch and pickle raise anything
        reason = getattr(error, "strerror", None) or brief(error)
        raise DataError(f"{path} cannot be read as {what}: {reason}") from None


def holds_numbers(tensor: Tensor) -> bool:
    """Whether a tensor lies in main memory, and holds real and finite numbers."""
    if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_complex():
        return False
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    return all(bool(end.isfinite()) for end in tensor.detach().float().aminmax())


def _check_archive(file: BinaryIO, *, whole: bool) -> None:
    size = file.seek(0, 2)
    with zipfile.ZipFile(file) as archive:
        parts = archive.infolist()
        if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
            raise ValueError("it is compressed: torch.save writes none that is")
        if sum(part.file_size for part in parts) > size:
            raise ValueError("its parts are longer than the file")
        if not whole and (damaged := archive.testzip()) is not None:
            raise ValueError(f"{damaged} is damaged: its CRC32 is another")
        for part in parts:
            if part.filename.endswith("/data.pkl"):
                _check_pickle(archive.read(part))


def _check_pickle(content: bytes | BinaryIO) -> None:
    """Refuse whatever is made by something else than a plain tensor's own parts."""
    for code, name in _opcodes(content):
        if code == "GLOBAL" and name not in PLAIN and not _is_storage(str(name)):
            raise ValueError(f"it holds {name}, not only tensors and plain values")


def _opcodes(content: bytes | BinaryIO) -> Iterator[tuple[str, Any]]:
    """Yield the instructions of a pickle with their arguments; ValueError, in words, where it is none."""
    try:
        for code, argument, _ in pickletools.genops(content):
            yield code.name, argument
    except ValueError:
        raise ValueError("it is no file that torch.save writes") from None


def _is_storage(name: str) -> bool:
    module, _, kind = name.partition(" ")
    return module == "torch" and kind.endswith("Storage")
