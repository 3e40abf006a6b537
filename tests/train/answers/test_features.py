"""Features: what the last layer reads, with the names and labels of the clips."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from tests.train.runs import ROOT, evaluated
from tsn.cli import tsn
from tsn.train.answers.clip_values import FEATURES
from tsn.train.answers.trained import load_trained
from tsn.tsn_shared import hdf5
from tsn.tsn_shared.settings import DataSettings
from tsn.tsn_shared.splits import Subset, read_split


@pytest.mark.parametrize("subset", ["train", "test"])
def test_the_last_layer_makes_the_logits_of_evaluate_from_the_features(
    trained_run: Path, data: DataSettings, tmp_path: Path, subset: Subset
) -> None:
    out = tmp_path / "features.h5"
    done = CliRunner().invoke(tsn, ["features", str(trained_run), str(out), "--subset", subset, "--gpus", "0"])
    assert done.exit_code == 0, done.output
    clips = 12 if subset == "train" else 7
    words = f"512 features of {clips} {subset} clips, split 1, protocol val (3 segments, centre crop)"
    assert done.stdout == f"{out}: {words}\n"
    split = read_split(data.splits / "split1.h5")
    with hdf5.opened(out, FEATURES) as file:  # its seal is whole
        features = file["feature"][:]
        assert features.shape == (clips, 512)
        assert file["label"][:].tolist() == split.subset(subset).label.tolist()
        assert hdf5.decode_names(file["name"][:]) == split.names(subset, slice(None))
        assert hdf5.decode_names(file["class/name"][:]) == split.classes
        assert dict(file.attrs)["protocol"] == "val"
        assert (file.attrs["split"], file.attrs["subset"], file.attrs["num_segments"]) == ("1", subset, 3)
    if subset == "test":
        layer = load_trained(trained_run).network.backbone.get_submodule("fc")
        with torch.inference_mode():
            logits = layer(torch.from_numpy(features)).numpy()
        assert np.abs(logits - evaluated(trained_run, gpus="0").scored.values.numpy()).max() < 1e-4


def test_the_example_reads_them(
    trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(tsn, ["features", str(trained_run), "features.h5", "--gpus", "0"]).exit_code == 0
    runpy.run_path(str(ROOT / "examples" / "read_features.py"))
    assert capsys.readouterr().out == "(7, 512) 7 val\n"
