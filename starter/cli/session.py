"""What every command does around its own work: settings, connection, waiting, the answer."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from model.base import Record
from starter.cli.errors import UsageSentence
from starter.cli.output import print_json

if TYPE_CHECKING:
    from model.operations import OperationResult
    from model.settings import Settings
    from starter.client import MpgClient
    from starter.client.operation import Operation

T = TypeVar("T")


def settings(**overrides: object) -> "Settings":
    """Return the settings in force, *overrides* first.

    Raises :class:`~model.errors.InvalidInput` naming the one that is wrong.
    """
    from model.settings import load_settings

    return load_settings(**overrides)


def with_client(work: "Callable[[MpgClient], Awaitable[T]]") -> T:
    """Connect, run *work* and return its answer. Raises :class:`~model.errors.StackDown` within 2 seconds."""
    import asyncio

    from starter.client import MpgClient

    async def run() -> T:
        async with MpgClient.connect(settings()) as mpg:
            return await work(mpg)

    return asyncio.run(run())


def operate(
    start: "Callable[[MpgClient], Awaitable[Operation]]",
    *,
    detach: bool,
    as_json: bool,
    answer: "Callable[[MpgClient, OperationResult], Awaitable[Record]] | None" = None,
    show: Callable[[Record], None] | None = None,
) -> None:
    """Start an operation, wait for it unless *detach*, print the answer.

    Args:
        start: starts it.
        detach: print its id instead of waiting.
        as_json: print *answer*, or the operation where there is none, as JSON.
        answer: makes the object to show from the result.
        show: prints it for people; without it the result's own sentence is printed.
    """

    async def run(mpg: "MpgClient") -> None:
        from starter.cli.waiting import wait

        operation = await start(mpg)
        if detach:
            _print_started(operation, as_json)
            return
        result = await wait(operation)
        if as_json or show:
            made = await answer(mpg, result) if answer else await operation.describe()
            if as_json:
                print_json(made)
            elif show:
                show(made)
        else:
            print(result.message)

    with_client(run)


def _print_started(operation: "Operation", as_json: bool) -> None:
    if as_json and operation.request is not None:
        print_json(operation.just_started())
    else:
        print(operation.id)


def confirm(question: str, *, yes: bool) -> None:
    """Return when the person agrees: by ``--yes``, or on a terminal by an answer.

    Raises :class:`UsageSentence` elsewhere, and when the answer is no.
    """
    import sys

    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageSentence(f"{question} Say so with --yes.")
    import typer

    if not typer.confirm(f"{question} Really?", err=True):
        raise UsageSentence("Nothing was changed.")
