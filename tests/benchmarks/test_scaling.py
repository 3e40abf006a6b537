import math
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.scaling import (
    DGX,
    PARAMETERS,
    Setup,
    allreduce_seconds,
    cores_needed,
    epoch_seconds,
    link_needed,
    main,
    reach,
    setup_of,
)
from tsn.train.network.model import build_model, count_parameters

# a step of 20 ms; 1 ms to send the gradients once within a node, 4 ms between nodes
SETUP = Setup(
    step_seconds=0.02,
    batch=25,
    core_clips=100,
    node_cores=1000,
    gradient_bytes=1e8,
    gpu_link=1e11,
    node_link=2.5e10,
)
SETUPS = st.builds(
    Setup,
    step_seconds=st.floats(1e-3, 1),
    batch=st.integers(1, 200),
    core_clips=st.floats(1, 1e4),
    node_cores=st.integers(1, 256),
    gpu_link=st.floats(1e9, 1e12),
    node_link=st.floats(1e8, 1e12),
    hidden_share=st.floats(0, 1),
)


def test_parameters_are_those_of_the_network() -> None:
    assert count_parameters(build_model("vgg16", num_classes=101, dropout=0.9)) == PARAMETERS


def test_one_gpu_sends_nothing_and_reaches_its_own_step() -> None:
    found = reach(SETUP, 1)
    assert allreduce_seconds(SETUP, 1) == 0
    assert (found.bound, found.efficiency, found.step_seconds) == ("compute", 1, 0.02)
    assert found.clips_per_second == pytest.approx(1250)


def test_ring_sends_everything_twice_less_a_share() -> None:
    assert allreduce_seconds(SETUP, 8) == pytest.approx(2 * 7 / 8 * 0.001)
    assert allreduce_seconds(SETUP, 64) == pytest.approx(2 * 63 / 64 * 0.004)  # the slower link counts


def test_what_the_backward_pass_hides_costs_nothing() -> None:
    assert reach(replace(SETUP, node_link=1e10), 64).exposed == pytest.approx(2 * 63 / 64 * 0.01 - 0.012)
    assert reach(SETUP, 64).bound == "compute"
    assert reach(SETUP, 64).efficiency == 1


def test_each_of_the_three_can_bind() -> None:
    assert reach(replace(SETUP, node_link=1e9), 64).bound == "all-reduce"
    few = reach(replace(SETUP, node_cores=16), 8)
    assert few.bound == "loader"
    assert few.clips_per_second == pytest.approx(16 * 100)


def test_the_command_prints_a_row_for_each_number_of_gpus(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--clips-per-second", "1400", "700", "--core-ms", "0.63"]
    monkeypatch.setattr(sys, "argv", ["scaling", *words])
    main()
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines()]
    assert [row[1].strip() for row in rows[2:]] == ["1", "8", "64"] * 2
    assert {len(row) for row in rows} == {11}


def test_the_page_on_scaling_says_what_the_model_says() -> None:
    page = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text()
    lines = [line.strip("| ").split(" | ") for line in page.splitlines() if re.match(r"\| [\d,]+ \| (8|64) \|", line)]
    assert len(lines) == 6
    for rate, gpus, step, ring, loader, clips, bound, link, cores, epoch in lines:
        setup = setup_of(DGX, clips_per_second=float(rate.replace(",", "")), batch=25, core_ms=1.69)
        found = reach(setup, int(gpus))
        assert (step, ring) == (f"{1000 * setup.step_seconds:.1f}", f"{1000 * allreduce_seconds(setup, int(gpus)):.1f}")
        assert (loader, clips) == (f"{1000 * found.loader_seconds:.1f}", f"{found.clips_per_second:,.0f}")
        assert (bound, cores) == (found.bound, str(cores_needed(setup)))
        assert (link, epoch) == (
            f"{link_needed(setup, int(gpus)) / 1e9:.0f}",
            f"{epoch_seconds(setup, int(gpus), fixed=0):.1f}",
        )


def test_an_epoch_counts_whole_steps_validation_and_what_is_fixed() -> None:
    seconds = epoch_seconds(SETUP, 8, fixed=1.5, train=1001, test=200)
    assert seconds == pytest.approx(6 * 0.02 + 1 * max(0.02 / 3, 200 / 100_000) + 1.5)


@given(setup=SETUPS, gpus=st.integers(1, 512))
def test_no_number_of_gpus_beats_its_multiple_and_a_bound_says_why(setup: Setup, gpus: int) -> None:
    found = reach(setup, gpus)
    assert 0 < found.efficiency <= 1
    assert found.clips_per_second <= gpus * setup.batch / setup.step_seconds * (1 + 1e-9)
    assert (found.bound == "compute") == (found.efficiency == 1)
    nodes = math.ceil(gpus / setup.gpus_per_node)
    assert found.clips_per_second <= nodes * setup.node_cores * setup.core_clips * (1 + 1e-9)


@given(setup=SETUPS.filter(lambda setup: setup.hidden_share > 1e-3), gpus=st.integers(2, 512))
def test_with_the_link_it_needs_the_all_reduce_is_hidden(setup: Setup, gpus: int) -> None:
    link = link_needed(setup, gpus)
    enough = replace(setup, gpu_link=link, node_link=link)
    assert reach(enough, gpus).exposed <= 1e-9 * setup.step_seconds
    slower = replace(enough, gpu_link=link / 2, node_link=link / 2)
    assert reach(slower, gpus).exposed == pytest.approx(setup.hidden_share * setup.step_seconds)


@given(setup=SETUPS)
def test_with_the_cores_it_needs_the_loader_never_binds(setup: Setup) -> None:
    alone = replace(setup, gradient_bytes=0.0)
    enough = replace(alone, node_cores=cores_needed(alone))
    assert reach(enough, 8).loader_seconds <= setup.step_seconds * (1 + 1e-9)
    if enough.node_cores > 1:
        fewer = reach(replace(enough, node_cores=enough.node_cores - 1), 8)
        assert fewer.loader_seconds >= setup.step_seconds * (1 - 1e-9)
