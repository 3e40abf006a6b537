"""Files of tensors: what torch writes is read, and what nobody's training writes is refused before torch sees it."""

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from tsn.train.network.archive import holds_numbers, read_pt
from tsn.tsn_shared.errors import DataError

STATE = {"model": {"weight": torch.arange(6.0).view(2, 3), "count": torch.tensor(7)}, "step": 3, "names": ["a", None]}


@pytest.mark.parametrize("new", [True, False], ids=["archive", "pickles"])
def test_what_torch_saves_is_read_in_either_of_its_formats(tmp_path: Path, new: bool) -> None:
    torch.save(STATE, tmp_path / "state.pt", _use_new_zipfile_serialization=new)
    found = read_pt(tmp_path / "state.pt")
    assert torch.equal(found["model"]["weight"], torch.arange(6.0).view(2, 3))
    assert (int(found["model"]["count"]), found["step"], found["names"]) == (7, 3, ["a", None])


class Call:
    """Pickles to the call of a function."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.getcwd, ()


@pytest.mark.parametrize("new", [True, False], ids=["archive", "pickles"])
def test_a_file_that_calls_a_function_is_refused_by_its_name(tmp_path: Path, new: bool) -> None:
    torch.save({"weight": Call()}, tmp_path / "state.pt", _use_new_zipfile_serialization=new)
    with pytest.raises(DataError, match=r"cannot be read as weights: it holds posix getcwd, not only tensors"):
        read_pt(tmp_path / "state.pt", "weights")


@pytest.mark.parametrize("content", [pickle.dumps({"weight": 1}), b"words"], ids=["a pickle", "text"])
def test_what_torch_never_saved_is_called_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state.pt").write_bytes(content)
    with pytest.raises(DataError, match=r"state\.pt cannot be read as a checkpoint: it is no file that torch.save"):
        read_pt(tmp_path / "state.pt")


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "state.pt")
    with (
        zipfile.ZipFile(tmp_path / "state.pt") as plain,
        zipfile.ZipFile(tmp_path / "small.pt", "w", zipfile.ZIP_DEFLATED) as small,
    ):
        for part in plain.namelist():
            small.writestr(part, plain.read(part))
    with pytest.raises(DataError, match="it is compressed"):
        read_pt(tmp_path / "small.pt")


def test_a_flipped_bit_is_seen_unless_the_file_is_known_to_be_whole(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "state.pt")
    content = bytearray((tmp_path / "state.pt").read_bytes())
    content[content.index(torch.arange(6.0).numpy().tobytes()) + 4] ^= 1
    (tmp_path / "state.pt").write_bytes(content)
    with pytest.raises(DataError, match=r"data/\d+ is damaged: its CRC32 is another"):
        read_pt(tmp_path / "state.pt")
    assert not torch.equal(read_pt(tmp_path / "state.pt", whole=True)["model"]["weight"], STATE["model"]["weight"])  # type: ignore[index]


def test_a_file_that_is_not_there_or_holds_anything_else_is_a_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.pt does not exist"):
        read_pt(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("no tensors")
    with pytest.raises(DataError, match="cannot be read as a checkpoint"):
        read_pt(tmp_path / "text.pt")


@pytest.mark.parametrize(
    ("tensor", "wanted"),
    [
        (torch.zeros(3), True),
        (torch.zeros(0), True),
        (torch.tensor([1, 2]), True),
        (torch.tensor([1.0, float("nan")]), False),
        (torch.tensor([float("-inf"), 1.0]), False),
        (torch.zeros(2, dtype=torch.complex64), False),
        (torch.zeros(2, device="meta"), False),
        (torch.eye(2).to_sparse(), False),
    ],
    ids=["zeros", "none", "whole", "nan", "infinite", "complex", "meta", "sparse"],
)
def test_numbers_are_real_finite_and_in_memory(tensor: torch.Tensor, wanted: bool) -> None:
    assert holds_numbers(tensor) is wanted
