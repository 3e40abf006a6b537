"""Names that a package offers and that load on first use, so that importing the package costs nothing (PEP 562)."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

Hooks = tuple[Callable[[str], Any], Callable[[], list[str]]]


def on_first_use(package: str, offered: Mapping[str, Sequence[str]]) -> Hooks:
    """Return a package's `__getattr__` and `__dir__`, given the names that it offers of each module.

    A name must not be that of a module in the package: whoever imported that would get the module instead.
    """
    module_of = {name: module for module, names in offered.items() for name in names}

    def load(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(module_of[name]), name)

    def listed() -> list[str]:
        return sorted({*vars(import_module(package)), *module_of})

    return load, listed
