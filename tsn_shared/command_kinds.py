"""Kinds of commands and groups: how help is laid out, and what is said of a command line that says a thing twice."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import click
from click.core import ParameterSource

from tsn.tsn_shared.console import say
from tsn.tsn_shared.nearest import did_you_mean


class Command(click.Command):
    """A command that tells of an option that is given twice: as everywhere, the last one counts."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line, and look at what was given how often, and what the environment gives in vain."""
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        for option, times in Counter(order).items():
            if times > 1 and isinstance(option, click.Option) and not option.multiple and not ctx.resilient_parsing:
                say(f"note: {max(option.opts, key=len)} is given {times} times: the last one counts")
        if not ctx.resilient_parsing:
            _tell_unknown_variables(ctx)
        return super().parse_args(ctx, args)


def _tell_unknown_variables(ctx: click.Context) -> None:
    """Say which variables are named as if for this command, and are those of none of its options."""
    begin = f"{ctx.auto_envvar_prefix}_"
    options = [begin + str(option.name).upper() for option in ctx.command.params if isinstance(option, click.Option)]
    for name in sorted(set(os.environ) - set(options)):
        if ctx.auto_envvar_prefix and name.startswith(begin):
            say(f"note: {name} is set in the environment, and no option is called so{did_you_mean(name, options)}")


class Grouped(Command):
    """A command whose help lists its options under headings; those that are under none come last."""

    def __init__(self, *args: Any, headings: Mapping[str, Sequence[str]], **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.headings = headings

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section of the help for each heading."""
        records = {str(option.name): option.get_help_record(ctx) for option in self.get_params(ctx)}
        left = [name for name in records if not any(name in names for names in self.headings.values())]
        last = list(self.headings)[-1]
        for heading, names in self.headings.items():
            rows = [records[name] for name in (*names, *(left if heading == last else ()))]
            with formatter.section(heading):
                formatter.write_dl([row for row in rows if row is not None])


class InOrder(click.Group):
    """A group that lists its commands in the order of their work."""

    command_class = Command
    group_class = type

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands as they were declared."""
        return list(self.commands)


def tell(error: click.ClickException) -> None:
    """Say what is wrong with a command line, in one line that names the help; a command alone gets its help."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return
    context, option = getattr(error, "ctx", None), getattr(error, "param", None)
    if context and option and context.get_parameter_source(option.name) is ParameterSource.ENVIRONMENT:
        where_from = f"{context.auto_envvar_prefix}_{option.name.upper()} in the environment: "
    else:
        where_from = ""
    where = f" (see {context.command_path} -h)" if context is not None else ""
    say(f"tsn: {where_from}{' '.join(error.format_message().split()).removesuffix('.')}{where}")
