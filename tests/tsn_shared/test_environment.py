"""What a launcher says in the environment, believable or not."""

import subprocess
import sys

import pytest

from tsn.pipeline.loading.pixels import cpu_share
from tsn.tsn_shared.environment import Launched, adopt_slurm, first_host, launched
from tsn.tsn_shared.errors import SettingsError

SLURM = {
    "SLURM_STEP_NUM_TASKS": "7",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "2",
    "SLURM_JOB_ID": "123456",
    "SLURM_STEP_NODELIST": "gpu[003-005,010]",
    "SLURM_STEP_TASKS_PER_NODE": "2(x3),1",
}


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", *SLURM):
        monkeypatch.setenv(name, "")  # so that what adopt_slurm sets is undone as well
        monkeypatch.delenv(name)
    return monkeypatch


def test_slurms_tasks_are_ranks(bare: pytest.MonkeyPatch) -> None:
    for name, value in SLURM.items():
        bare.setenv(name, value)
    adopt_slurm()
    assert launched() == Launched(rank=5, world_size=7, local_rank=1, local_world_size=2)


def test_a_step_of_one_task_or_no_step_is_no_group_of_ranks(bare: pytest.MonkeyPatch) -> None:
    adopt_slurm()
    assert launched() is None
    for name, value in (SLURM | {"SLURM_STEP_NUM_TASKS": "1"}).items():
        bare.setenv(name, value)
    adopt_slurm()
    assert launched() is None


def test_a_partial_environment_names_what_is_missing(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("SLURM_STEP_NUM_TASKS", "2")
    with pytest.raises(SettingsError, match="not SLURM_PROCID, SLURM_LOCALID"):
        adopt_slurm()
    bare.setenv("RANK", "0")
    with pytest.raises(SettingsError, match="RANK set in the environment, but not LOCAL_RANK"):
        launched()


TORCHRUN = {
    "RANK": "1",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "localhost",
    "MASTER_PORT": "29500",
}
NO_NUMBERS = ("", "abc", "-1", "1.5", " ", "0x1", "9" * 400, "\x1b[31m")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("RANK", (*NO_NUMBERS, "4")),
        ("WORLD_SIZE", (*NO_NUMBERS, "0", "1")),  # 1 is less than those of this machine
        ("LOCAL_RANK", (*NO_NUMBERS, "2")),
        ("LOCAL_WORLD_SIZE", (*NO_NUMBERS, "0", "5")),
        ("MASTER_PORT", (*NO_NUMBERS, "0", "99999999")),
        ("MASTER_ADDR", ("", " ")),
    ],
)
def test_an_impossible_environment_of_torchrun_is_one_line(
    bare: pytest.MonkeyPatch, name: str, values: tuple[str, ...]
) -> None:
    for value in values:
        for variable, stated in (TORCHRUN | {name: value}).items():
            bare.setenv(variable, stated)
        with pytest.raises(SettingsError, match=rf"{name}|LOCAL_WORLD_SIZE") as raised:
            launched()
        assert str(raised.value).isprintable()
    bare.setenv(name, TORCHRUN[name])
    found = launched()
    assert found == Launched(rank=1, world_size=4, local_rank=1, local_world_size=2)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("SLURM_STEP_NUM_TASKS", NO_NUMBERS),
        ("SLURM_JOB_ID", NO_NUMBERS),
        ("SLURM_NODEID", (*NO_NUMBERS, "4")),
        ("SLURM_PROCID", (*NO_NUMBERS, "7")),
        ("SLURM_LOCALID", (*NO_NUMBERS, "2")),
        ("SLURM_STEP_TASKS_PER_NODE", ("", "2(x3", "a", "2(x99999999999)", "9999999999", "2,x", "-2")),
        ("SLURM_STEP_NODELIST", ("", ",", "[1-2]")),
    ],
)
def test_an_impossible_environment_of_slurm_is_one_line(
    bare: pytest.MonkeyPatch, name: str, values: tuple[str, ...]
) -> None:
    for value in values:
        for variable in TORCHRUN:
            bare.delenv(variable, raising=False)
        for variable, stated in (SLURM | {name: value}).items():
            bare.setenv(variable, stated)

        def adopted() -> None:
            adopt_slurm()
            launched()

        with pytest.raises(SettingsError, match=r"environment|no machine") as raised:
            adopted()
        assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("gpu[003-006,010],login1", "gpu003"), ("a1,a2", "a1"), ("node7", "node7"), ("n[1,3]-ib", "n1-ib")],
)
def test_the_first_machine_of_a_list(nodes: str, first: str) -> None:
    assert first_host(nodes) == first


@pytest.mark.parametrize("value", [*NO_NUMBERS, "0"])
def test_the_share_of_the_cores_is_of_a_number_of_processes(bare: pytest.MonkeyPatch, value: str) -> None:
    bare.setenv("LOCAL_WORLD_SIZE", value)
    with pytest.raises(SettingsError, match=r"LOCAL_WORLD_SIZE is .* it must be a whole number, 1 to"):
        cpu_share()


@pytest.mark.parametrize(("stated", "policy"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")])
def test_openmps_threads_sleep_while_they_wait_unless_the_environment_says_otherwise(
    stated: dict[str, str], policy: str
) -> None:
    code = "from tsn.tsn_shared.environment import wait_asleep; wait_asleep(); import torch"
    environment = {"PATH": "/usr/bin", "OMP_DISPLAY_ENV": "true"} | stated
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert f"OMP_WAIT_POLICY = '{policy}'" in done.stderr
