"""`mpg adopt`: clusters whose record was lost, found by their containers and put on record again."""

from typing import TYPE_CHECKING, Annotated

import typer

from model.base import Record
from model.errors import MpgError
from starter.cli import options
from starter.cli.errors import UsageSentence, say
from starter.cli.output import print_json, print_table
from starter.cli.panels import Panel
from starter.cli.session import confirm, with_client

if TYPE_CHECKING:
    from model.adoption import FoundCluster
    from starter.client import MpgClient
    from starter.client.operation import Operation

AT_ONCE = 4
"""Adoptions that run side by side."""

NEW_KEY = (
    "With a new master key the users of {} keep the passwords that they have, but nobody can show these any more until "
    "each is rotated; a stack that still has the old key loses these clusters."
)


NOT_RUNNING = "No node of it runs, so that nobody can tell whether this stack's key fits: adopt it by its id."


def register(app: typer.Typer) -> None:
    """Add the command to *app*."""
    app.command(
        rich_help_panel=Panel.RECOVERY,
        epilog=options.example("mpg adopt", "mpg adopt --all", "mpg adopt orders --new-key"),
    )(adopt)


def adopt(
    clusters: Annotated[
        list[str] | None, typer.Argument(metavar="[CLUSTER]...", help="Ids or names; none: list what is there.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All that are not known and whose key fits.")] = False,
    new_key: Annotated[
        bool, typer.Option("--new-key", help="The old master key is lost: let the platform in with this one.")
    ] = False,
    name: Annotated[
        str | None, typer.Option("--name", metavar="N", help="Another name, where its own is taken.")
    ] = None,
    yes: options.Yes = False,
    detach: options.Detach = False,
    as_json: options.Json = False,
    org: Annotated[
        str | None, typer.Option("--org", "-o", metavar="ORG", help="Only this organization's; by default all.")
    ] = None,
) -> None:
    """Put clusters on record that this stack does not know, from their containers. They serve meanwhile."""
    wanted = clusters or []
    if every and (wanted or new_key or name):
        raise UsageSentence("--all stands alone: it adopts what can be adopted without a decision of yours.")
    if (name and len(wanted) != 1) or (new_key and not wanted):
        raise UsageSentence("Say which cluster: --name is for one, --new-key for those that you name.")
    if new_key:
        confirm(NEW_KEY.format(", ".join(wanted)), yes=yes)
    if wanted or every:
        _adopt(wanted, org, new_key=new_key, name=name, detach=detach, as_json=as_json)
    else:
        _list(org, as_json=as_json)


async def _unknown(mpg: "MpgClient", org: str | None) -> "list[FoundCluster]":
    return [each for each in await mpg.found_clusters() if not each.known and org in {None, each.org}]


def _list(org: str | None, *, as_json: bool) -> None:
    found = with_client(lambda mpg: _unknown(mpg, org))
    if as_json:
        print_json(found)
        return
    if not found:
        print("Every cluster of which this host has containers is known.")
        return
    print_table(
        ["id", "name", "organization", "plan", "primary", "key", "to know"],
        [
            (c.id, c.name, c.org, c.plan, c.primary, c.key.replace("_", " "), c.problem or " ".join(c.notes) or "ready")
            for c in found
        ],
    )
    say("Adopt them with 'mpg adopt CLUSTER …', or all whose key fits with 'mpg adopt --all'.")


def _adopt(wanted: list[str], org: str | None, *, new_key: bool, name: str | None, detach: bool, as_json: bool) -> None:
    """Adopt some side by side, then the next. What fails for one does not keep the others from it."""
    answers: list[Record] = []
    failed: list[str] = []

    async def run(mpg: "MpgClient") -> None:
        chosen = wanted or await _ready(mpg, org)
        for first in range(0, len(chosen), AT_ONCE):
            running = [
                (each, await _start(mpg, each, new_key=new_key, name=name, failed=failed))
                for each in chosen[first : first + AT_ONCE]
            ]
            for each, operation in running:
                if operation is not None:
                    await _finish(each, operation, answers, failed, detach=detach, as_json=as_json)

    with_client(run)
    if as_json:
        print_json(answers)
    elif not answers and not failed:
        print("There is no cluster that could be adopted without a decision of yours.")
    if failed:
        raise MpgError(" ".join(failed))


async def _ready(mpg: "MpgClient", org: str | None) -> list[str]:
    """Return the ids of those that are surely this stack's and whole; why another one is left is said."""
    from model.adoption import KeyFit

    ready: list[str] = []
    for each in await _unknown(mpg, org):
        if each.problem is None and each.key is KeyFit.FITS:
            ready.append(each.id)
        else:
            say(f"Left as it is: {each.name} ({each.id}). {each.problem or NOT_RUNNING}")
    return ready


async def _start(
    mpg: "MpgClient", cluster: str, *, new_key: bool, name: str | None, failed: list[str]
) -> "Operation | None":
    try:
        return await mpg.adopt_cluster(cluster, new_key=new_key, name=name)
    except MpgError as error:
        failed.append(str(error))
        return None


async def _finish(
    cluster: str,
    operation: "Operation",
    answers: list[Record],
    failed: list[str],
    *,
    detach: bool,
    as_json: bool,
) -> None:
    from starter.cli.waiting import wait

    if detach:
        answers.append(operation.just_started())
        if not as_json:
            print(operation.id)
        return
    say(f"▸ adopt {cluster}")
    try:
        result = await wait(operation, indent="  ")
    except MpgError as error:
        failed.append(f"{cluster} was not adopted: {error}")
        return
    answers.append(await operation.describe())
    if not as_json:
        print(result.message)
