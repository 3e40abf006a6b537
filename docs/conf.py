"""The pages as a site: `pip install '.[docs]' && sphinx-build -W -c docs . site`, in the checkout."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, fields
from inspect import cleandoc
from textwrap import dedent
from typing import Any, get_type_hints

import click
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.rst import escape
from sphinx.util.typing import stringify_annotation

from tsn.cli import tsn
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
smartquotes_action = "q"  # three dots and two hyphens stay as they are written
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
    if getattr(thing, "_is_protocol", False):  # nobody calls one
        return "", ""
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


# docs/cli.md


class _Sections(click.HelpFormatter):
    """Takes what a command's help lists, under the headings that `-h` has."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, list[tuple[str, str]]]] = []

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        """Begin a heading."""
        self.found.append((name, []))
        yield

    def write_dl(self, rows: Sequence[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Take options under the heading, each with its text."""
        self.found[-1][1].extend(rows)


def _inline(text: str) -> str:
    """Write a help text as reStructuredText, with options and what is in backticks as code."""
    parts = re.split(r"`([^`]+)`|(?<![\w-])(--[a-z][a-z-]*)", " ".join(text.split()))
    plain, codes = parts[::3], [one or other for one, other in zip(parts[1::3], parts[2::3], strict=True)]
    return escape(plain[0]) + "".join(
        rf"\ ``{code}``\ {escape(after)}" for code, after in zip(codes, plain[1:], strict=True)
    )


def _extra(text: str) -> str:
    """Write what stands in brackets after an option's text: its default, or the bounds of a number."""
    default = text.removeprefix("default: ")
    return f"``{text}``." if default == text else f"Default: ``{default}``."


def _help_lines(command: click.Command, context: click.Context) -> Iterator[str]:
    """Write what `-h` says of a command; paragraphs that begin with click's mark keep their lines."""
    usage = context.get_usage().removeprefix("Usage: ")
    yield from ("::", "", *(f"    {line.strip()}" for line in usage.splitlines()), "")
    for paragraph in cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith("\b\n"):
            yield from ("::", "", *(f"    {line}" for line in dedent(paragraph[2:]).splitlines()), "")
        else:
            yield from (_inline(paragraph), "")
    sections = _Sections()
    command.format_options(context, sections)
    yield f".. program:: {context.command_path}"
    for heading, rows in sections.found:
        yield from ("", f".. rubric:: {heading}", "")
        for flags, text in rows:
            words, _, extra = text.partition("  [")
            extras = extra[:-1].split("; ") if extra else []
            begin = "describe" if heading == "Commands" else "option"
            yield from (f".. {begin}:: {flags.replace(' / ', ', ')}", "", f"    {_inline(words)}")
            yield from (*(f"    {_extra(extra)}" for extra in extras), "")


class _Command(SphinxDirective):
    """`.. command:: tsn bench loader` stands for what its `-h` prints."""

    required_arguments, final_argument_whitespace = 1, True

    def run(self) -> list[nodes.Node]:
        """Return what the help says, as nodes."""
        first, *names = self.arguments[0].split()
        command: click.Command = tsn
        context = click.Context(command, info_name=first, **command.context_settings)
        for name in names:
            found = command.get_command(context, name) if isinstance(command, click.Group) else None
            if found is None:
                raise self.error(f"there is no command {self.arguments[0]}")
            command = found
            context = click.Context(command, info_name=name, parent=context, **command.context_settings)
        return self.parse_text_to_nodes(StringList(list(_help_lines(command, context)), source=context.command_path))


def _name_first_steps(app: Sphinx, page: str, template: str, context: dict[str, Any], _: nodes.document | None) -> None:
    """Call the README what the contents call it, not by its title, where a page leads on to it or back."""
    for near in (context.get("prev"), context.get("next")):
        if near and near["title"] == project:
            near["title"] = "First steps"


def setup(app: Sphinx) -> None:
    """Have settings and commands listed."""
    app.add_directive("command", _Command)
    app.connect("html-page-context", _name_first_steps)
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-process-docstring", _list_settings)
