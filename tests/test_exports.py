"""What `import tsn` and `import tsn.train` offer, and what they load."""

import ast
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest

import tsn
import tsn.train

ROOT = Path(__file__).parents[1]
PACKAGES = [tsn, tsn.train]
OF_IMPORT = {"tsn", "tsn.tsn_shared", "tsn.tsn_shared.exports"}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_exported_members_are_there_and_of_the_package(package: ModuleType) -> None:
    assert package.__all__ == sorted(
        package.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name)
    )
    assert set(package.__all__) <= set(dir(package))
    for name in package.__all__:
        member = getattr(package, name)
        if isinstance(member, dict):  # a table has no name of its own
            continue
        assert member.__name__ == name
        assert member.__module__.startswith(f"{package.__name__}.")
        assert member.__doc__
    with pytest.raises(AttributeError, match="has no attribute 'misspelt'"):
        package.misspelt  # noqa: B018


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_type_checkers_see_the_same_members(package: ModuleType) -> None:
    (hidden,) = (node for node in ast.parse(Path(str(package.__file__)).read_text()).body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in hidden.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert sorted(seen) == sorted(package.__all__)
    assert all(getattr(import_module(str(module)), name) is getattr(package, name) for name, module in seen.items())


@pytest.mark.parametrize(("package", "folder"), [(tsn, ROOT), (tsn.train, ROOT / "train")], ids=["tsn", "tsn.train"])
def test_no_exported_name_is_that_of_a_module(package: ModuleType, folder: Path) -> None:
    modules = {path.stem for path in folder.glob("*.py")} | {path.name for path in folder.iterdir() if path.is_dir()}
    assert {"train", "pipeline", "tsn_shared"} <= modules or {"fit", "answers"} <= modules
    assert set(package.__all__) & modules == set()


@pytest.mark.parametrize(("words", "more"), [("import tsn", set()), ("import tsn.train", {"tsn.train"})])
def test_importing_loads_nothing_but_the_door(words: str, more: set[str]) -> None:
    code = f"import sys; before = set(sys.modules); {words}; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert {name for name in loaded if name.split(".")[0] == "tsn"} == OF_IMPORT | more
    assert {name.split(".")[0] for name in loaded} - {"tsn"} <= sys.stdlib_module_names


def test_the_version_is_that_of_what_is_installed() -> None:
    assert tsn.__version__ == version("tsn")
    assert "__version__" not in vars(tsn)


def test_a_setting_needs_nothing_heavy() -> None:
    code = "import sys, tsn; tsn.TrainSettings(); print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
