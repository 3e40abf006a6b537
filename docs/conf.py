"""The pages as a site: `pip install '.[docs]' && sphinx-build -W -c docs . site`, in the checkout."""

import re
from dataclasses import MISSING, fields
from typing import Any, get_type_hints

from sphinx.application import Sphinx
from sphinx.util.typing import stringify_annotation

from tsn.tsn_shared.fields import Settings
from tsn.tsn_shared.normalisation import Normalisation

project = "tsn"
author = "the tsn developers"
root_doc = "docs/index"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
include_patterns = ["*.md", "docs/*.md", "benchmarks/*.md", "benchmarks/results/*.md"]
html_theme = "furo"
html_extra_path = ["index.html"]  # at the root of the site: leads to docs/index.html
html_title = "tsn"
html_static_path = ["static"]
html_css_files = ["site.css"]
myst_heading_anchors = 3
html_show_copyright = False
highlight_language = "text"
suppress_warnings = ["myst.header"]  # a page of results may begin below the first level

# docs/api.md
default_role = "code"  # what docstrings have in single backticks
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
maximum_signature_line_length = 90
toc_object_entries_show_parents = "hide"

_ARRAY = re.compile(r"~?numpy\.ndarray\[tuple\[~?typing\.Any, \.\.\.\], ~?numpy\.dtype\[~?(?:numpy\.)?(.*?)\]\]")


def _signature(
    app: Sphinx, what: str, name: str, thing: Any, _: Any, given: str | None, returned: str | None
) -> tuple[str, str] | None:
    """Write arrays as the code does, and leave the signature of settings to the list that says what each is."""
    if what == "class" and issubclass(thing, Settings):
        return "(**settings)", ""
    if not given:  # a property
        return None
    plain = given.replace(repr(Normalisation()), "Normalisation()")
    return _ARRAY.sub(r"NDArray[\1]", plain), _ARRAY.sub(r"NDArray[\1]", returned or "")


def _list_settings(app: Sphinx, what: str, name: str, thing: Any, _: Any, lines: list[str]) -> None:
    """Add to the docstring of settings what each is, as the command line's help says it, with its default."""
    if what != "class" or not issubclass(thing, Settings):
        return
    hints = get_type_hints(thing)
    for field in fields(thing):  # type: ignore[arg-type]
        kind = stringify_annotation(hints[field.name], "smart").replace("~pathlib.", "")
        choices = [f"`{word}`" for word in field.metadata["choices"] or ()]
        choices += [f"`{begin}NAME`"] if (begin := field.metadata["prefix"]) else []
        one_of = f" One of {', '.join(choices)}." if choices else ""
        default = "" if field.default in (None, MISSING) else f" Default: `{field.default}`."
        text = re.sub(r"(--[a-z-]+)", r"`\1`", field.metadata["help"])
        lines.append(f":param {field.name}: ({kind}) {text}{one_of}{default}")


def setup(app: Sphinx) -> None:
    """Have settings listed."""
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-process-docstring", _list_settings)
