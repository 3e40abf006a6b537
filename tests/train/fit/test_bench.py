import json
from typing import Any

import pytest
from click.testing import CliRunner

from tests.train.runs import flags
from tsn.cli import tsn


def test_bench_train_times_the_loop_beside_a_bare_one(small: dict[str, Any]) -> None:
    wanted = {name: small[name] for name in ("frames", "splits", "gpus", "model", "input_size", "batch_size")}
    done = CliRunner().invoke(tsn, ["bench", "train", *flags(wanted), "--seconds", "0.5", "--json"])
    assert done.exception is None, done.exception
    figures = json.loads(done.stdout)
    assert figures["model"] == "resnet18"
    assert figures["clips_per_second"] > 0
    assert figures["bare_clips_per_second"] > 0
    assert len(figures["rounds"]) == 3
    assert figures["share_of_bare"] == pytest.approx(sorted(figures["rounds"])[1])
