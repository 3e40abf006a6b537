import re
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.scaling import HIDDEN, PARAMETERS, cores_needed, link_needed
from tsn.train.network.model import build_model, count_parameters

GPUS, RATES = st.integers(2, 512), st.floats(1, 1e5)


def test_parameters_are_those_of_the_network() -> None:
    with torch.device("meta"):
        model = build_model("vgg16", num_classes=101, dropout=0.9)
    assert count_parameters(model) == PARAMETERS


def test_one_gpu_sends_nothing_and_a_ring_sends_everything_nearly_twice() -> None:
    assert link_needed(1000, gpus=1, batch=25) == 0
    # a step of 25 ms, 15 of which hide 7/4 of 539 MB
    assert link_needed(1000, gpus=8, batch=25) == pytest.approx(7 / 4 * 4 * PARAMETERS / 0.015)


@given(gpus=GPUS, rate=RATES, batch=st.integers(1, 400))
def test_larger_batches_need_less_of_a_link_and_more_gpus_more(gpus: int, rate: float, batch: int) -> None:
    link = link_needed(rate, gpus=gpus, batch=batch)
    assert link_needed(rate, gpus=gpus, batch=2 * batch) == pytest.approx(link / 2)
    assert link < link_needed(rate, gpus=gpus + 1, batch=batch) < 8 * PARAMETERS / (HIDDEN * batch / rate)


@given(gpus=GPUS, rate=RATES, core_ms=st.floats(0.01, 100))
def test_cores_are_the_fewest_that_keep_up(gpus: int, rate: float, core_ms: float) -> None:
    cores = cores_needed(rate, gpus=gpus, core_ms=core_ms)
    assert (cores - 1) * 1000 / core_ms <= gpus * rate * (1 + 1e-9)
    assert cores * 1000 / core_ms >= gpus * rate * (1 - 1e-9)


def test_the_page_on_scaling_says_what_the_model_says() -> None:
    page = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text()
    rows = re.findall(r"^\| (\d+) \| ([\d,]+) \| (\d+) \| (\d+) \|$", page, flags=re.MULTILINE)
    assert [row[0] for row in rows] == ["8", "64"]
    for gpus, clips, link, cores in rows:
        assert clips == f"{int(gpus) * 1524:,}"
        assert link == f"{link_needed(1524, gpus=int(gpus), batch=25) / 1e9:.0f}"
        assert int(cores) == cores_needed(1524, gpus=int(gpus), core_ms=1.69)
    assert f"it is {link_needed(1658, gpus=64, batch=100) / 1e9:.0f} GB/s" in page
