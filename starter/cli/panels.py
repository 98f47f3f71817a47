"""The page of `mpg --help`: its commands in groups, each with its whole first sentence."""

from enum import StrEnum
from typing import Any

from typer.core import TyperCommand, TyperGroup


class Panel(StrEnum):
    """The groups, in the order in which they are printed. One that has no command is left out."""

    STACK = "Stack"
    """What all clusters need: starting, stopping, looking after this machine."""
    CLUSTERS = "Clusters"
    """Which there are, how they are, how large they may be."""
    CHANGES = "Changes of a running cluster"
    """What clients go through without an error."""
    USERS = "Users and databases"
    """What is in a cluster, and what sessions start with."""
    ACCESS = "Access"
    """Ways in, for people and programs."""
    COPIES = "Backups and copies"
    """Data that is taken out, brought in or brought back."""
    OPERATIONS = "Operations"
    """What ran and what runs."""
    RECOVERY = "Recovery"
    """What is needed after a loss, and seldom."""


class PanelGroup(TyperGroup):
    """A group that prints its commands by their ``rich_help_panel``, which is a :class:`Panel`.

    In plain text: typer's own panels come with boxes, also around errors, which are one sentence here.
    """

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each panel, all with one width of the first column."""
        commands = [(name, command) for name, command in self.commands.items() if not command.hidden]
        width = max(len(name) for name, _ in commands)
        for panel in Panel:
            rows = [(name.ljust(width), _first_sentence(each)) for name, each in commands if _panel(each) == panel]
            if rows:
                with formatter.section(panel.value):
                    formatter.write_dl(rows)


def _panel(command: Any) -> str | None:
    return command.rich_help_panel if isinstance(command, TyperCommand | TyperGroup) else None


def _first_sentence(command: Any) -> str:
    # Not cut off: what does not fit on the line goes on below.
    return command.get_short_help_str(limit=1000)
