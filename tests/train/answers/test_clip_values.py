from pathlib import Path

import numpy as np
import pytest
import torch

from tsn.train.answers.clip_values import COLUMNS, FEATURES, PROBABILITIES, write_clip_values
from tsn.train.answers.passes import ScoredClips
from tsn.tsn_shared import hdf5


@pytest.mark.parametrize("kind", [FEATURES, PROBABILITIES], ids=lambda kind: kind.name)
def test_values_come_back_with_their_clips_and_what_they_are_of(tmp_path: Path, kind: hdf5.Kind) -> None:
    values, labels = torch.rand(3, 5, dtype=torch.float64), torch.tensor([1, 0, 1])
    scored = ScoredClips(values=values, labels=labels, names=("a/v", "b/v", "a/跳高"))
    write_clip_values(tmp_path / "of.h5", kind, scored, ("b", "a"), {"split": "1", "num_segments": 3})
    with hdf5.opened(tmp_path / "of.h5", kind) as file:  # its seal is whole
        assert np.array_equal(file[COLUMNS[kind]][:], values.float().numpy())
        assert file["label"][:].tolist() == [1, 0, 1]
        assert [name.decode() for name in file["name"]] == ["a/v", "b/v", "a/跳高"]
        assert [name.decode() for name in file["class/name"]] == ["b", "a"]
        assert (file.attrs["split"], file.attrs["num_segments"], file.attrs["complete"]) == ("1", 3, True)
