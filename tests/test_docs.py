"""The pages: they build as a site without a warning, their Python runs, and their commands are commands."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import torch
from safetensors.torch import save_file

from tests.conftest import Dataset
from tsn import __all__ as offered
from tsn.cli import tsn
from tsn.train import __all__ as offered_by_train
from tsn.train.answers.clip_values import PROBABILITIES, write_clip_values
from tsn.train.answers.passes import ScoredClips
from tsn.train.network.model import build_model

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of each tsn command in a page's shell blocks, without those that stand for others."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["tsn"] and "..." not in words and not any(word.isupper() for word in words[1:2]):
                yield words[1:]


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", "docs", "-d", str(tmp_path / "trees")]
    ended = subprocess.run([*build, ".", str(tmp_path / "site")], cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    (led_to,) = re.findall(r'url=([^"]+)"', (tmp_path / "site" / "index.html").read_text(encoding="utf-8"))
    assert "Temporal Segment Networks" in (tmp_path / "site" / led_to).read_text(encoding="utf-8")


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    missing = [page.stem for page in PAGES if not re.search(rf"^(.+ <)?(\.\./)?{page.stem}>?$", index, re.MULTILINE)]
    assert missing == ["index"]


def test_the_api_page_has_every_name_that_is_offered() -> None:
    listed = re.findall(
        r"^\.\. (?:auto\w+|py:data):: (tsn\.\S+)$", (ROOT / "docs" / "api.md").read_text("utf-8"), re.MULTILINE
    )
    assert {f"tsn.{name}" for name in offered} | {f"tsn.train.{name}" for name in offered_by_train} <= set(listed)


def test_the_page_of_commands_has_each_in_its_order() -> None:
    def names(command: click.Command, path: str) -> Iterator[str]:
        yield path
        for name, below in getattr(command, "commands", {}).items():
            yield from names(below, f"{path} {name}")

    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == list(names(tsn, "tsn"))
    assert re.findall(r"^\.\. command:: (.+)$", page, re.MULTILINE) == list(names(tsn, "tsn"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_is_one_with_these_options(page: Path) -> None:
    for words in commands(page):
        command: click.Command = tsn
        parent = click.Context(tsn, **tsn.context_settings)
        while isinstance(command, click.Group) and words:
            name, *words = words
            found = command.commands.get(name)
            assert found is not None or name.startswith("-"), name
            if found is None:
                break
            command = found
        if not {"-h", "--version"} & set(words):
            command.make_context(str(command.name), list(words), parent=parent)


PRINTED = {
    "loading.md": r"\d \(4, 3, 3, 64, 64\) \[\d(, \d){3}\]|top-1 \d+\.\d% of \d+ clips",
    "training.md": r"True",
    "answers.md": r"top-1 66\.7%|least sure: c: \w+, 51\.0%",
    "formats.md": r"\w+/v_\w+ \d+ frames",
}
"""Each line that the Python of a page prints, by page."""


@pytest.fixture
def beside_runs(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder that holds data/frames, data/splits, the same weights of two runs, and one's probabilities."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "frames").symlink_to(dataset.frames)
    (tmp_path / "data" / "splits").symlink_to(dataset.splits)
    weights = build_model("resnet18", num_classes=2, dropout=0.5).state_dict()
    for run in ("a", "b"):
        (tmp_path / "runs" / run).mkdir(parents=True)
        save_file(weights, tmp_path / "runs" / run / "model.safetensors")
    shares = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.51, 0.49]])
    scored = ScoredClips(values=shares, labels=torch.tensor([0, 1, 1]), names=("a", "b", "c"))
    evaluated = tmp_path / "runs" / "a" / "evaluation" / "split1-val-3"
    evaluated.mkdir(parents=True)
    write_clip_values(evaluated / "probabilities.h5", PROBABILITIES, scored, ("run", "walk"), {"protocol": "val"})
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("beside_runs")
@pytest.mark.parametrize("name", PRINTED)
def test_the_python_of_a_page_runs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    for block in blocks(ROOT / "docs" / name, "python"):
        exec(compile(block, name, "exec"), names)
    lines = capsys.readouterr().out.splitlines()
    assert lines
    assert all(re.fullmatch(PRINTED[name], line) for line in lines), lines
