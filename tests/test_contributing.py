"""The map for contributors: every path that it names is there, and what people change most is on it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


def test_every_path_of_the_map_is_there() -> None:
    paths = set(re.findall(r"\b(?:train|pipeline|tsn_shared|tests|examples|benchmarks)/[\w/]+(?:\.\w+)?", TEXT))
    assert len(paths) > 20
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize(
    ("change", "path", "name"),
    [
        ("modality, made of frames", "train/network/modalities.py", "MODALITIES"),
        ("modality, read from elsewhere", "pipeline/loading/source.py", "class ClipSource"),
        ("a backbone", "train/network/backbones.py", "BACKBONES"),
        ("videos decoded while training", "pipeline/loading/source.py", "class ClipSource"),
        ("an augmentation", "tsn_shared/augment.py", "def train_crops"),
        ("a bucket", "tsn_shared/shard_file.py", "class Shard"),
        ("a cache", "pipeline/loading/reader.py", "class FrameReader"),
        ("the optimiser", "train/fit/recipe.py", "def build_optimizer"),
        ("the schedule", "train/fit/recipe.py", "def learning_rate"),
        ("the consensus", "train/network/model.py", "def consensus"),
        ("a data set", "pipeline/splits/lists.py", "def "),
        ("another figure", "train/metrics.py", "def metrics_of"),
        ("a command", "cli.py", "def tsn("),
        ("another tracker", "train/fit/trackers.py", "class Wandb"),
        ("another file", "train/fit/reporters.py", "class Reporter"),
        ("how often a class", "pipeline/loading/balance.py", "def epoch_order"),
    ],
)
def test_the_map_names_the_file_for_a_change(change: str, path: str, name: str) -> None:
    (row,) = (line for line in TEXT.splitlines() if line.startswith("|") and change in line.split("|")[1])
    assert f"({path})" in row.split("|")[2]
    assert name in (ROOT / path).read_text(encoding="utf-8")


def test_hooks_run_what_ci_runs_and_fetch_nothing() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert re.findall(r"repo: (\S+)", hooks) == ["local"]
    assert set(re.findall(r"language: (\S+)", hooks)) == {"system"}
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for words in ("ruff check", "ruff format", "mypy"):
        assert words in ci
        assert words in hooks
