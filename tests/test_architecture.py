"""Rules of the whole tree: which room imports which, what commands load, what does not belong in a module."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("tsn_shared", "pipeline", "train", "cli")
"""From the ground up: a room imports itself and those before it. All are parts of the package `tsn`."""

MODULES = [*(path for room in ROOMS[:-1] for path in sorted((ROOT / room).rglob("*.py"))), ROOT / "cli.py"]
HEAVY = ("torch", "torchvision", "nvidia", "h5py", "numpy", "matplotlib", "tensorboard", "ffmpeg", "distributed")


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted name of everything that is imported, at the top or within a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module or ''}.{alias.name}" for alias in node.names)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def test_all_rooms_are_seen() -> None:
    assert {room_of(path) for path in MODULES} == set(ROOMS)
    assert len(MODULES) > 15


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_between_rooms_go_one_way(path: Path) -> None:
    below = ROOMS[: ROOMS.index(room_of(path)) + 1]
    allowed = tuple(f"tsn.{room}." for room in below)
    ours = [name for name in imports(parsed(path)) if name.split(".")[0] in {"tsn", "tests", "benchmarks", *ROOMS}]
    wrong = [name for name in ours if not f"{name}.".startswith(allowed)]
    assert wrong == []


FLOORS = ("network", "ranks", "", "fit", "answers")
"""Of train, from the ground up; "" are the modules that lie in it beside its folders."""


def floor_of(name: str) -> int:
    """Return the floor of a module of train, given by its dotted name."""
    folder = name.split(".")[2]
    return FLOORS.index(folder if folder in FLOORS else "")


IN_TRAIN = sorted({*(ROOT / "train").rglob("*.py")} - {ROOT / "train" / "__init__.py"})  # the door stands above all


@pytest.mark.parametrize("path", IN_TRAIN, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_within_train_go_one_way(path: Path) -> None:
    own = ".".join(("tsn", *path.relative_to(ROOT).with_suffix("").parts))
    upwards = [
        name for name in imports(parsed(path)) if name.startswith("tsn.train.") and floor_of(name) > floor_of(own)
    ]
    assert upwards == []


def test_answers_need_nothing_that_trains() -> None:
    """Of fit they read what a run has left: checkpoints, weights, histories."""
    left, seen = [path for path in IN_TRAIN if path.parent.name == "answers"], set[Path]()
    while left:
        path = left.pop()
        seen.add(path)
        names = [name for name in imports(parsed(path)) if name.startswith("tsn.train.")]
        below = {ROOT.joinpath(*name.split(".")[1:end]).with_suffix(".py") for name in names for end in (3, 4)}
        left += [module for module in below if module.exists() and module not in seen]
    there = {path.stem for path in seen if path.parent.name == "fit"}
    assert "checkpoint" in there
    assert not there & {"launch", "run", "trainer", "recipe", "rehearsal"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_are_absolute(path: Path) -> None:
    assert [node.lineno for node in ast.walk(parsed(path)) if isinstance(node, ast.ImportFrom) and node.level] == []


def test_one_place_in_train_opens_the_loader() -> None:
    loaders = ("ClipLoader", "EvalLoader")
    opens = {
        path.name
        for path in MODULES
        if room_of(path) == "train"
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in loaders
    }
    assert len(opens) == 1


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_asserts_or_prints(path: Path) -> None:
    """`python -O` drops assertions, and a print knows neither results from words nor a progress bar."""
    found = [
        node.lineno
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Assert)
        or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print")
    ]
    assert found == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_owns(path: Path) -> None:
    assert ast.get_docstring(parsed(path))


def takes_self(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return bool(function.args.args) and function.args.args[0].arg in ("self", "cls")


LONGEST = {"cli.py": 400}
"""Lines of the modules that may have more than 300: the command line has a function a command."""


def test_every_module_has_its_test_file() -> None:
    own = [path.relative_to(ROOT) for path in MODULES if path.name != "__init__.py"]
    missing = {str(path) for path in own if not (ROOT / "tests" / path.parent / f"test_{path.name}").is_file()}
    assert missing == set()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_can_be_read_at_once(path: Path) -> None:
    most = LONGEST.get(str(path.relative_to(ROOT)), 300)
    assert len(path.read_text(encoding="utf-8").splitlines()) <= most


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_signature_has_more_than_seven_parameters(path: Path) -> None:
    long = [
        node.name
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if len(node.args.posonlyargs + node.args.args + node.args.kwonlyargs) > (8 if takes_self(node) else 7)
    ]
    assert long == []


def test_no_help_loads_anything_heavy() -> None:
    script = f"""
import sys
from tsn.cli import tsn

commands = [[name] for name in tsn.commands] + [["bench", name] for name in tsn.commands["bench"].commands]
for words in [[], *commands]:
    tsn.main([*words, "-h"], prog_name="tsn", standalone_mode=False)
loaded = sorted({{name.split(".")[0] for name in sys.modules}} & set({HEAVY!r}))
sys.stderr.write(",".join(loaded))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage: tsn") > 12
    assert done.stderr == ""
