import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from tests.tsn_shared.test_options import Example
from tsn.tsn_shared.command_kinds import Grouped, InOrder
from tsn.tsn_shared.options import settings_options


def call(*words: str, **variables: str) -> tuple[int, str]:
    environment = os.environ | variables
    done = subprocess.run([sys.executable, "-m", "tsn", *words], env=environment, capture_output=True, text=True)
    assert done.stdout == ""
    return done.returncode, done.stderr


def test_options_without_a_heading_come_last() -> None:
    @click.command(cls=Grouped, headings={"First": ("lr", "model"), "Last": ("epochs",)})
    @settings_options(Example)
    def command(**options: object) -> None:
        pass

    lines = [line.split()[0] for line in CliRunner().invoke(command, ["--help"]).output.splitlines() if line.strip()]
    places = [lines.index(word) for word in ("First:", "--lr,", "--model", "Last:", "--epochs", "--quiet", "--help")]
    assert places == sorted(places)
    assert len({word for word in lines if word.startswith("--")}) == 7


def test_an_option_that_is_given_twice_is_told_and_the_last_counts(caplog: pytest.LogCaptureFixture) -> None:
    @click.group(cls=InOrder)
    def group() -> None:
        pass

    @group.command()
    @click.option("--out", "-o")
    @click.option("--fast/--slow")
    @click.option("--each", multiple=True)
    def run(out: str, fast: bool, each: tuple[str, ...]) -> None:
        click.echo(f"{out} {fast} {each}")

    caplog.set_level("INFO", logger="tsn")
    words = ["run", "-o", "a", "--fast", "--each", "1", "--out", "b", "--slow", "--each", "2", "--out", "c"]
    assert CliRunner().invoke(group, words).stdout == "c False ('1', '2')\n"
    assert [record.message for record in caplog.records] == [
        "note: --out is given 3 times: the last one counts",
        "note: --fast is given 2 times: the last one counts",
    ]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["traim"], "tsn: No such command 'traim'. Did you mean 'train'? (see tsn -h)"),
        (["predict"], "tsn: Missing argument 'CHECKPOINT' (see tsn predict -h)"),
        (["bench", "loader", "--seconds", "x"], "tsn: Invalid value for '--seconds': 'x' is not a valid float range"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_help(words: list[str], line: str) -> None:
    code, said = call(*words)
    assert code == 2
    assert said.startswith(line)
    assert said.count("\n") == 1


def test_the_environment_is_named_where_a_value_or_a_slip_is_from_there() -> None:
    code, said = call("train", "--frames", "nowhere", TSN_TRAIN_BATCH_SIZE="abc", TSN_TRAIN_NUM_EPOCH="3")
    assert code == 2
    note, line = said.splitlines()
    assert note == (
        "note: TSN_TRAIN_NUM_EPOCH is set in the environment, and no option is called so "
        "(did you mean TSN_TRAIN_NUM_EPOCHS?)"
    )
    assert line.startswith("tsn: TSN_TRAIN_BATCH_SIZE in the environment: Invalid value for '--batch-size'")


def test_a_group_without_a_command_shows_its_help() -> None:
    code, said = call("bench")
    assert code == 2
    assert said.startswith("Usage: tsn bench")
    assert "Clips a second, by stage." in said
