"""What can be done to a cluster, as data: what it asks for, what it says before, and how it is started."""

import shlex
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from model.cluster import ClusterView
from model.errors import InvalidInput
from model.names import DEFAULT_ORG
from starter.client import MpgClient
from starter.client.operation import Operation

Given = Mapping[str, str]
"""What was entered, by the names of fields."""


@dataclass(frozen=True)
class Field:
    """Something that an action asks for. ``choices`` are values and what they are called."""

    name: str
    label: str
    default: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    hint: str = ""
    number: bool = False
    checkbox: bool = False
    moment: bool = False
    """A time in UTC, to the second."""
    fixed: bool = False
    """It is shown and not asked for: what the action is about."""


@dataclass(frozen=True)
class Action:
    """One way to change a cluster.

    ``title`` and ``effects`` are shown before it is started; ``command`` is the same on a command line, without the
    organization. The same as an HTTP request is in starter/dashboard/calls.py.
    """

    name: str
    title: Callable[[ClusterView, Given], str]
    button: str
    start: Callable[[MpgClient, ClusterView, Given], Awaitable[Operation]]
    effects: Callable[[ClusterView, Given], Sequence[str]]
    command: Callable[[ClusterView, Given], Sequence[str]]
    tab: str
    """Where it is found, and where one goes back to."""
    fields: tuple[Field, ...] = field(default=())
    danger: bool = False
    makes_cluster: bool = False
    """Whether it makes another cluster, which a token for one cluster does not allow."""
    of_destroyed: bool = False
    """Whether it is about a cluster that was destroyed and of which backups are kept."""
    by_name: bool = False
    """Whether the cluster's name has to be typed."""

    def values(self, given: Given) -> dict[str, str]:
        """Return what was entered for each field, with its default where nothing was."""
        return {each.name: given.get(each.name, "" if each.checkbox else each.default) for each in self.fields}

    def command_line(self, view: ClusterView, given: Given) -> str:
        """Return the command that does the same."""
        return command_line(view, self.command(view, given))


def command_line(view: ClusterView, words: Sequence[str]) -> str:
    """Return the command *words* about the cluster, with its organization where that has to be said."""
    org = view.state.spec.org
    return shlex.join(["mpg", *words, *([] if org == DEFAULT_ORG else ["--org", org])])


def name_of(view: ClusterView) -> str:
    """Return the cluster's name."""
    return view.state.spec.name


def whole_number(text: str, what: str) -> int:
    """Return the number in *text*. Raises :class:`~model.errors.InvalidInput` naming *what* where it is none."""
    try:
        return int(text)
    except ValueError:
        raise InvalidInput(f"{what} {text!r} is not a whole number.") from None
