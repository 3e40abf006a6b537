"""model.safetensors: the best weights, and which epoch they are of."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.train.fit.test_contents import FACTS, STATE
from tests.train.test_history import row
from tsn.train.fit.contents import facts_of
from tsn.train.fit.weights_file import read_weights_file, row_of, write_weights
from tsn.tsn_shared.errors import DataError


def test_weights_say_which_epoch_they_are_of_and_are_asked_alone(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    assert row_of(path) is None
    write_weights(path, FACTS, STATE.model)
    assert row_of(path) == row(1, 0.5)
    found = read_weights_file(path)
    assert torch.equal(found["model"]["w"], torch.ones(2))
    kept = facts_of(found, path)
    assert kept == replace(FACTS, history=(row(1, 0.5),))
    path.write_bytes(b"no safetensors")
    assert row_of(path) is None
    with pytest.raises(DataError, match="cannot be read as safetensors"):
        read_weights_file(path)
