"""Commands that teach: grouped options, examples at the end of --help, groups loaded when used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import click

from gated.cells import nearest
from gated.cli.faults import Stopped, Terminated

WIDTH = {"max_content_width": 100}


class Command(click.Command):
    """A command with examples, and options under the headings of their groups.

    An option's group is its attribute `group`; options without one stand under "Options".
    """

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any):
        kwargs.setdefault("context_settings", WIDTH)
        super().__init__(*args, **kwargs)
        self.examples = examples
        self.params.append(debug_option())

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, one section a group, then the examples."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record and isinstance(parameter, click.Option):  # the text above tells arguments
                title = getattr(parameter, "group", "Options")
                groups.setdefault(title, []).append(record)
        for title in sorted(groups, key=lambda title: title == "Options"):
            with formatter.section(title):
                formatter.write_dl(groups[title])
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples:
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called, not when they are listed."""

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]], **kwargs: Any):
        kwargs |= {"context_settings": WIDTH, "invoke_without_command": True}
        super().__init__(*args, **kwargs)
        self.lazy = lazy
        self.params.append(debug_option())

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order in which a person needs them."""
        return list(self.lazy)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the command."""
        if name not in self.lazy:
            return None
        module, attribute = self.lazy[name][0].split(":")
        found: click.Command = getattr(importlib.import_module(module), attribute)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.lazy.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; if there is none, suggest the nearest."""
        if args[0] not in self.lazy and not args[0].startswith("-"):
            raise click.UsageError(
                f"there is no command {args[0]!r}{nearest(args[0], list(self.lazy))}", ctx
            )
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, or show the help if none was named."""
        try:
            found = super().invoke(ctx)
        except KeyboardInterrupt:  # before click prints an empty line for it
            raise Stopped("stopped by Ctrl-C", 130) from None
        except Terminated:
            raise Stopped("stopped by SIGTERM", 143) from None
        except BrokenPipeError:
            raise Stopped("", 141) from None
        if ctx.invoked_subcommand is None:
            click.echo(ctx.get_help())
        return found


def debug_option() -> click.Option:
    """`--debug`, which every command takes; `main` looks for it itself, so that it always works."""
    text = "Show the traceback of an error."
    return click.Option(["--debug"], is_flag=True, expose_value=False, help=text)
