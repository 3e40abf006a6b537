"""Installed, it is one package: whatever modules lie where one works, `tsn` finds its own."""

import ast
import os
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = str(Path(sys.executable).with_name("tsn"))
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "1"]


@pytest.fixture
def crowded(tmp_path: Path) -> Path:
    """A folder that holds modules of the names of ours, all of which refuse to be imported."""
    for name in ("cli", "train", "pipeline", "tsn_shared"):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('{name}.py of the working folder')\n")
    return tmp_path


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ([SCRIPT, "--version"], "tsn 0."),
        ([SCRIPT, "train", "-h"], "Usage: tsn train"),
        ([sys.executable, "-m", "tsn"], "Usage: tsn"),
        ([*TORCHRUN, "-m", "--", "tsn", "train", "-h"], "Usage: tsn train"),
    ],
    ids=["version", "train", "module", "torchrun"],
)
def test_modules_of_the_working_folder_do_not_stand_in_its_way(crowded: Path, command: list[str], said: str) -> None:
    done = subprocess.run(
        command, cwd=crowded, env=os.environ | {"PYTHONPATH": "."}, capture_output=True, text=True, timeout=120
    )
    assert said in done.stdout + done.stderr
    assert "of the working folder" not in done.stderr


def test_an_installation_adds_one_importable_name() -> None:
    """Of an editable one, that is what its finder maps."""
    installed = next(found for found in metadata.distributions(name="tsn") if found.read_text("RECORD"))
    tops = {PurePosixPath(file).parts[0] for file in installed.files or ()}
    tops -= {"..", "__pycache__", next(top for top in tops if top.endswith(".dist-info"))}
    if finders := [file for file in installed.files or () if file.name.endswith("_finder.py")]:
        (finder,) = finders
        assert all(top.startswith("__editable__") for top in tops)
        (names,) = (
            ast.literal_eval(node.value)
            for node in ast.parse(finder.read_text()).body
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "MAPPING"
            if node.value is not None
        )
        tops = set(names)
    assert tops == {"tsn"}


def test_every_folder_of_the_rooms_is_installed() -> None:
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    modules = (path for room in ("pipeline", "train", "tsn_shared") for path in (ROOT / room).rglob("*.py"))
    folders = {".".join(("tsn", *path.parent.relative_to(ROOT).parts)) for path in modules}
    assert sorted(tool["packages"]) == sorted({"tsn", *folders})
    assert all((ROOT / name.replace(".", "/").removeprefix("tsn/") / "__init__.py").is_file() for name in folders)
