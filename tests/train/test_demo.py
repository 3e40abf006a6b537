import shlex
from pathlib import Path

import click
import pytest

from tsn.cli import tsn
from tsn.train.demo import closing_words, commands, told_to_go_on

FOLDER = Path("a folder")


@pytest.mark.parametrize("words", commands(FOLDER), ids=lambda words: words[0])
def test_every_command_of_the_demo_is_understood(words: list[str]) -> None:
    command = tsn.commands[words[0]]
    with click.Context(command, **tsn.context_settings) as context:
        command.parse_args(context, list(words[1:]))


def test_what_one_command_writes_the_next_ones_read() -> None:
    assert [words[0] for words in commands(FOLDER)] == [
        "extract-frames",
        "build-splits",
        "show-batch",
        "train",
        "evaluate",
    ]
    lines = {words[0]: shlex.join(words) for words in commands(FOLDER)}
    assert "--out 'a folder/data/frames'" in lines["extract-frames"]
    assert all("--frames 'a folder/data/frames'" in lines[name] for name in ("build-splits", "show-batch", "train"))
    assert "--out 'a folder/data/splits'" in lines["build-splits"]
    assert all("--splits 'a folder/data/splits'" in lines[name] for name in ("show-batch", "train"))
    assert "--run 'a folder/run'" in lines["train"]
    assert lines["evaluate"] == "evaluate 'a folder/run'"
    assert "a folder/batch.png" in closing_words(FOLDER)
    assert "a folder/run/curves.png" in closing_words(FOLDER)


def test_what_it_says_to_do_next_is_what_tsn_understands() -> None:
    lines = [line.split() for line in closing_words(FOLDER).splitlines() if line.startswith("  tsn ")]
    assert {words[1] for words in lines} >= {"info", "extract-frames", "build-splits", "train", "predict"}
    for words in lines[1:]:
        command = tsn.commands[words[1]]
        command.make_context(words[1], words[2:], parent=click.Context(tsn, **tsn.context_settings))


def test_whoever_interrupts_it_is_told_that_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), told_to_go_on(FOLDER):
        raise KeyboardInterrupt
    assert "tsn demo a folder goes on from here" in capsys.readouterr().err
