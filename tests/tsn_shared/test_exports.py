import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tsn.tsn_shared.exports import on_first_use


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package that offers `name` of its module `part`."""
    folder = tmp_path / "offering"
    folder.mkdir()
    (folder / "part.py").write_text("name = object()\n")
    (folder / "__init__.py").write_text(
        "from tsn.tsn_shared.exports import on_first_use\n"
        "__getattr__, __dir__ = on_first_use(__name__, {'offering.part': ['name']})\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield "offering"
    for module in ("offering", "offering.part"):
        sys.modules.pop(module, None)


def test_a_name_loads_its_module_when_it_is_used_and_not_before(package: str) -> None:
    offering = __import__(package)
    assert "name" in dir(offering)
    assert "offering.part" not in sys.modules
    assert offering.name is sys.modules["offering.part"].name
    assert offering.name is offering.name


def test_other_names_are_an_error_as_of_any_module() -> None:
    load, listed = on_first_use("json", {"json.decoder": ["JSONDecoder"]})
    with pytest.raises(AttributeError, match="module 'json' has no attribute 'misspelt'"):
        load("misspelt")
    assert {"JSONDecoder", "loads"} <= set(listed())
